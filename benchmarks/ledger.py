"""How often the ledger holds back a candidate that is as good as the champion, by its margin: docs/ledger.md.

    python -m wheelwork.benchmarks.ledger

Each question has a probability p of being right after a fresh training, which differs between questions as Beta(a, b).
A round fixes those that were wrong under one training and right under the next. A third training, as good as both, then
gets each of them right with the p that it has; the ledger of n such items is judged.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray
from wheelwork.core.evaluation.statistics import paired_damage_bound

A, B = 5.5, 0.5  # a model that is right on 92% of questions
SIZES, MARGINS = (1, 5, 10, 25, 50, 100), (0.0, 0.1, 0.25, 0.5)
LOOPS, MIN_ITEMS, ALPHA = 20_000, 20, 0.05


def fixed(draw: np.random.Generator, count: int) -> NDArray[np.float64]:
    """The p (count,) of items that were wrong under one training and right under the next: with weight p (1 − p)."""
    return draw.beta(A + 1, B + 1, size=count)


def undone(draw: np.random.Generator, n: int) -> NDArray[np.int64]:
    """How many of `n` fixed items a third training gets wrong, LOOPS times."""
    p = fixed(draw, LOOPS * n).reshape(LOOPS, n)
    return np.asarray((draw.random((LOOPS, n)) >= p).sum(axis=1))


def held_back(counts: NDArray[np.int64], n: int, margin: float) -> float:
    """The share of loops in which more are undone than the margin allows."""
    return float((counts > floor(margin * n + 1e-9)).mean())


def held_back_by_bound(counts: NDArray[np.int64], n: int, margin: float) -> float:
    """The same where from MIN_ITEMS on the upper bound must stay below the margin."""
    if n < MIN_ITEMS:
        return held_back(counts, n, margin)
    bounds = [paired_damage_bound(np.ones(n), np.arange(n) >= k, ALPHA) for k in range(n + 1)]
    return float((np.array(bounds)[counts] >= margin).mean())


def main() -> None:
    """Print the table."""
    draw = np.random.default_rng(0)
    print(f"p of a fixed item: {fixed(draw, 1_000_000).mean():.3f}")
    print("| n | " + " | ".join(f"{margin:g}" for margin in MARGINS) + " | 0.5 by bound |")
    for n in SIZES:
        counts = undone(draw, n)
        row = [held_back(counts, n, margin) for margin in MARGINS] + [held_back_by_bound(counts, n, 0.5)]
        print(f"| {n} | " + " | ".join(f"{share:.0%}" for share in row) + " |")


if __name__ == "__main__":
    main()
