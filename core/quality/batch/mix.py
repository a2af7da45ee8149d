"""Whether the kept are of the labels or categories that they should be of, and of enough of them."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...settings import Setting
from .findings import Finding, unknown

DRAWS = 9999  # of the null distribution
BLOCK = 1 << 22  # counts drawn at a time: 32 MB
ROWS_PER_CATEGORY = 5

Array = NDArray[np.float64]
Counts = Mapping[str, int]
Shares = dict[str, float]


class Target(NamedTuple):
    """The mix that is wanted, as shares that sum to 1; `rows` where these were counted among so many rows."""

    shares: Shares
    rows: Counts | None = None


def shares_of(weights: Mapping[str, float]) -> Shares:
    """`weights` as shares that sum to 1; empty where nothing weighs anything."""
    whole = math.fsum(weights.values())
    return {name: weight / whole for name, weight in weights.items()} if whole > 0 else {}


def divergence(shares: Mapping[str, float], target: Mapping[str, float]) -> float:
    """Kullback–Leibler divergence Σ p ln(p / q) of `shares` from `target`, in nats.

    0 where they are equal; infinite where something has no share in the target.
    """
    found = 0.0
    for name, share in shares.items():
        if share > 0:
            wanted = target.get(name, 0.0)
            if wanted <= 0:
                return math.inf
            found += share * math.log(share / wanted)
    return max(0.0, found)  # rounding


def evenness(counts: Counts) -> float:
    """Entropy of the counts over that of an even mix, in [0, 1] (Pielou 1966); 1 for a single category."""
    shares = np.array([share for share in shares_of(counts).values() if share > 0])
    return 1.0 if len(counts) < 2 else float(-(shares * np.log(shares)).sum() / math.log(len(counts)))


class Chance(NamedTuple):
    """The divergence that was seen, what chance alone makes of it on average, and the p-value."""

    value: float
    chance: float
    p_value: float


def mix_test(kept: Counts, target: Target, seed: int) -> Chance:
    """Divergence of the kept mix from the target, and whether that is chance.

    The divergence of a sample is above 0 by chance alone, about (K − 1) / 2n for K categories and n rows, so it is
    held against its own distribution under "drawn from the target": the G-test (2n × KL) with an exact null, by
    `DRAWS` draws in place of χ², which needs more rows a category. A target that was itself counted, such as that of a
    reference file, is a sample too: then both are dealt anew from all rows (the permutation form of the two-sample
    G-test), and half a row is added to each count of the target. Everything that is kept must have a share.
    """
    names = sorted({*kept, *target.shares})
    counts = np.array([kept.get(name, 0) for name in names])
    rng, n = np.random.default_rng(seed), int(counts.sum())
    theirs = None if target.rows is None else np.array([target.rows.get(name, 0) for name in names])
    wanted = np.array([target.shares[name] for name in names]) if theirs is None else _smoothed(theirs)
    value = float(_divergences(counts[None, :], wanted[None, :])[0])
    null: list[Array] = []
    left = DRAWS
    while left:
        block = min(left, max(1, BLOCK // len(names)))
        if theirs is None:
            drawn = rng.multinomial(n, wanted, size=block)
            null.append(_divergences(drawn, wanted[None, :]))
        else:
            drawn = rng.multivariate_hypergeometric(counts + theirs, n, size=block)
            null.append(_divergences(drawn, _smoothed(counts + theirs - drawn)))
        left -= block
    found = np.concatenate(null)
    return Chance(value, float(found.mean()), (1 + int((found >= value - 1e-12).sum())) / (1 + DRAWS))


def _smoothed(counts: NDArray[np.int64]) -> Array:
    more = counts + 0.5
    shares: Array = more / more.sum(axis=-1, keepdims=True)
    return shares


def _divergences(counts: NDArray[np.int64], targets: Array) -> Array:
    """KL of each row of counts (rows, K) from its row of shares."""
    p = counts / counts.sum(axis=1, keepdims=True)
    safe = np.where(counts > 0, p, 1.0)
    terms: Array = np.where(counts > 0, p * np.log(safe / np.where(counts > 0, targets, 1.0)), 0.0)
    return np.asarray(terms.sum(axis=1))


class MixChecks(Setting):
    """KL of the labels or categories to the target mix, their balance, and how many of them there are."""

    kl: float = Field(0.1, gt=0, description="largest KL divergence to the target in nats, above what chance makes")
    evenness: float = Field(0.8, ge=0, le=1, description="smallest entropy, as a share of that of an even mix")
    ratio: float = Field(0.1, ge=0, le=1, description="smallest rows of the rarest category for each of the commonest")
    categories: int = Field(
        5, ge=1, description="fewest labels or categories with a row; all of them where there are fewer"
    )

    def __call__(
        self,
        kept: Counts,
        target: Target,
        of: Literal["labels", "categories"],
        alpha: float,
        min_rows: int,
        seed: int,
    ) -> list[Finding]:
        """Four findings; `kept` are rows by category, and the categories there are are those of kept and target."""
        counts = {name: kept.get(name, 0) for name in sorted({*kept, *target.shares})}
        if len(counts) < 2:
            why = "the rows have no labels and no categories" if not counts else "there is only one"
            return [unknown(check, of, why) for check in ("kl", "evenness", "ratio", "coverage")]
        rows = sum(counts.values())
        if rows < max(min_rows, ROWS_PER_CATEGORY * len(counts)):
            needed = max(min_rows, ROWS_PER_CATEGORY * len(counts))
            why = f"{rows:,} kept rows in {len(counts)} {of}; {needed} are needed"
            return [unknown(check, of, why) for check in ("kl", "evenness", "ratio")] + [self._coverage(counts, of)]
        if target.rows is not None and (counted := sum(target.rows.values())) < min_rows:
            few = unknown("kl", of, f"the target is counted among {counted:,} rows; {min_rows} are needed")
            return [few, *self._balance(counts, of), self._coverage(counts, of)]
        return [
            self._divergence(counts, target, of, alpha, seed),
            *self._balance(counts, of),
            self._coverage(counts, of),
        ]

    def _divergence(self, counts: Counts, target: Target, of: str, alpha: float, seed: int) -> Finding:
        if target.rows is None and (
            strangers := [name for name in counts if counts[name] and not target.shares.get(name)]
        ):
            said = f"`{strangers[0]}` has no share in the target, so that it is infinite"
            return Finding(check="kl", of=of, value=None, threshold=self.kl, outcome="warn", said=said)
        found = mix_test(counts, target, seed)
        shares = shares_of(counts)
        far = max(counts, key=lambda name: abs(shares[name] - target.shares.get(name, 0.0)))
        limit = found.chance + self.kl
        return Finding(
            check="kl",
            of=of,
            value=found.value,
            threshold=limit,
            p_value=found.p_value,
            outcome="warn" if found.p_value < alpha and found.value > limit else "fine",
            said=f"furthest: {far}, {shares[far]:.0%} for {target.shares.get(far, 0.0):.0%}",
        )

    def _balance(self, counts: Counts, of: str) -> list[Finding]:
        rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        told = f"{rarest} {counts[rarest]:,}, {commonest} {counts[commonest]:,}"
        even, ratio = evenness(counts), counts[rarest] / counts[commonest]
        return [
            _at_least("evenness", of, even, self.evenness, told),
            _at_least("ratio", of, ratio, self.ratio, told),
        ]

    def _coverage(self, counts: Counts, of: str) -> Finding:
        covered = sum(count > 0 for count in counts.values())
        missing = [name for name, count in counts.items() if not count]
        told = f"of {len(counts)}" + (f"; none of {', '.join(missing[:3])}" if missing else "")
        return _at_least("coverage", of, covered, min(self.categories, len(counts)), told)


def _at_least(
    check: Literal["evenness", "ratio", "coverage"], of: str, value: float, least: float, said: str
) -> Finding:
    outcome: Literal["warn", "fine"] = "warn" if value < least else "fine"
    return Finding(check=check, of=of, value=float(value), threshold=float(least), outcome=outcome, said=said)
