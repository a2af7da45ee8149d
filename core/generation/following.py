"""Quotas that follow what an earlier round found wanting: a share of them goes to the cells that are asked for."""

from collections.abc import Mapping
from fractions import Fraction

from .quota import spread


def followed(parts: Mapping[str, int], asked: Mapping[str, float], share: float) -> dict[str, int]:
    """`parts` of a total by cell, with `share` of the total given to the cells that `asked` has weights for.

    The rest keeps the proportions of `parts`, and the sum stays what it was. Weights of cells that are not in `parts`
    do not count; without any nothing changes. The same for the same arguments.
    """
    wanted = {name: asked[name] for name in parts if asked.get(name, 0) > 0}
    if not wanted or share <= 0:
        return dict(parts)
    total = sum(parts.values())
    given = round(Fraction(share).limit_denominator(10_000) * total)
    more, rest = spread(given, wanted), spread(total - given, parts)
    return {name: rest[name] + more.get(name, 0) for name in parts}


def followed_mix(planned: Mapping[str, float], asked: Mapping[str, float], share: float) -> dict[str, float]:
    """The same for weights of categories: what mix of them a round sets out to write, as shares that add up to 1."""
    whole, wanted = sum(planned.values()), {name: asked[name] for name in planned if asked.get(name, 0) > 0}
    if not wanted or share <= 0 or whole <= 0:
        return dict(planned)
    given = sum(wanted.values())
    return {
        name: (1 - share) * weight / whole + share * (wanted.get(name, 0.0) / given) for name, weight in planned.items()
    }
