"""Whole numbers for shares: a total spread by weights, and more of whatever there is too little of."""

from collections.abc import Mapping
from fractions import Fraction


def spread(total: int, weights: Mapping[str, float | Fraction]) -> dict[str, int]:
    """`total` over the keys of `weights`, in proportion and in their order; the parts sum to `total` exactly.

    Each gets its exact share rounded down; what is left goes one by one to the largest remainders, of equal ones to
    the first (Hamilton's method), so that every part is less than 1 from its share. No weight may be negative or NaN;
    weights that are all 0 count as equal.
    """
    if not weights:
        return {}
    exact = {name: Fraction(weight) for name, weight in weights.items()}
    whole = sum(exact.values())
    if whole == 0:
        exact, whole = dict.fromkeys(weights, Fraction(1)), Fraction(len(weights))
    shares = {name: total * weight / whole for name, weight in exact.items()}
    parts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: parts[name] - shares[name])  # stable: ties keep their order
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def top_up(counts: Mapping[str, int], wanted: Mapping[str, int], budget: int) -> dict[str, int]:
    """How many more of each key of `wanted` to ask for: at most `budget` in all, and none more than it lacks.

    With less budget than is lacking, it is spread by scarcity, the share of its quota that a key lacks; what a key has
    no room for goes to the others in the same way.
    """
    missing = {name: max(0, quota - counts.get(name, 0)) for name, quota in wanted.items()}
    if budget >= sum(missing.values()):
        return missing
    more = dict.fromkeys(wanted, 0)
    while (left := max(0, budget) - sum(more.values())) > 0:
        unfilled = [name for name in wanted if more[name] < missing[name]]
        parts = spread(left, {name: Fraction(missing[name], wanted[name]) for name in unfilled})
        for name, part in parts.items():
            more[name] += min(part, missing[name] - more[name])
    return more
