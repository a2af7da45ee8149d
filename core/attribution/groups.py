"""Groups of failing items: which parts of a suite fail more than the rest, and the fewest of them that explain most.

A part of all items (a label, a slice, a length …) counts if failures are over-represented in it: one-sided Fisher
exact test against the rest of the suite, Holm's correction over all parts that were tried. Confusions and broken
rules, which only failing items have, count by their number. A greedy cover then puts each failing item into one group.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Axis = Literal["confusion", "rule", "label and difficulty", "cluster", "label", "slice", "difficulty", "length"]
BY_COUNT: tuple[Axis, ...] = ("confusion", "rule")
ORDER: tuple[Axis, ...] = (*BY_COUNT, "label and difficulty", "label", "slice", "difficulty", "cluster", "length")
"""Of two groups that are as good the earlier is taken: what people have a name for before what only looks alike."""

Values = Sequence[str | None]
"""Of each item its value on one axis; None for an item that has none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Items that have something in common. `members` are all of them, `failing` those that failed."""

    axis: Axis
    name: str
    members: frozenset[int]
    failing: frozenset[int]
    p_value: float | None = None
    """Adjusted by Holm; None for what is counted."""

    @property
    def share(self) -> float:
        """Of the members that failed."""
        return len(self.failing) / len(self.members)


@dataclass(frozen=True, slots=True)
class Covered:
    """What a cover leaves: groups whose `failing` are those that are theirs alone, and the rest."""

    groups: tuple[Group, ...]
    other: frozenset[int]
    tried: int
    """Parts that were tested."""


def find_groups(
    axes: Mapping[Axis, Values], failing: Collection[int], *, alpha: float, least: int, most: int
) -> Covered:
    """Group the `failing` items by what they have in common; see the module.

    A group has at least `least` failing items of its own, and there are `most` of them at most.
    """
    bad = frozenset(failing)
    counted = [group for axis in BY_COUNT for group in _parts(axis, axes.get(axis, ()), bad)]
    tested = over_represented([(axis, values) for axis, values in axes.items() if axis not in BY_COUNT], bad, least)
    significant = [group for group in tested if group.p_value is not None and group.p_value <= alpha]
    groups, other = cover([*counted, *significant], bad, least, most)
    return Covered(groups, other, len(tested))


def over_represented(axes: Iterable[tuple[Axis, Values]], failing: frozenset[int], least: int) -> list[Group]:
    """Every part of at least `least` items that is not the whole, with its adjusted p-value.

    The p-value of "failures are no likelier here": P(X ≥ k) of the hypergeometric distribution, among all items; of a
    cluster among those that have one, since not every item need be embedded.
    """
    from scipy.stats import hypergeom

    tried: list[Group] = []
    raw: list[float] = []
    for axis, values in axes:
        universe = frozenset(at for at, value in enumerate(values) if value is not None or axis != "cluster")
        bad = len(universe & failing)
        for group in _parts(axis, values, failing):
            if least <= len(group.members) < len(universe):
                tried.append(group)
                at_least = hypergeom.sf(len(group.failing) - 1, len(universe), bad, len(group.members))
                raw.append(float(at_least))
    return [
        Group(one.axis, one.name, one.members, one.failing, p_value)
        for one, p_value in zip(tried, holm(raw), strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of several tests, in their order: below α where Holm's step-down rejects (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def cover(
    found: Sequence[Group], failing: frozenset[int], least: int, most: int
) -> tuple[tuple[Group, ...], frozenset[int]]:
    """The most specific groups first, until none has `least` failing items left; and what no group has.

    Specific is a group of whose items a large share fails; of two the one that explains more, then the one on the
    earlier axis, then the one whose name comes first. Each failing item is in one group or in the rest.
    """
    left, open_, chosen = failing, list(found), list[Group]()
    while len(chosen) < most:
        open_ = [group for group in open_ if len(group.failing & left) >= least]
        if not open_:
            break
        best = min(open_, key=lambda one: (-one.share, -len(one.failing & left), ORDER.index(one.axis), one.name))
        chosen.append(Group(best.axis, best.name, best.members, best.failing & left, best.p_value))
        left -= best.failing
    return tuple(sorted(chosen, key=lambda one: (-len(one.failing), ORDER.index(one.axis), one.name))), left


def _parts(axis: Axis, values: Values, failing: frozenset[int]) -> list[Group]:
    members: dict[str, set[int]] = defaultdict(set)
    for at, value in enumerate(values):
        if value is not None:
            members[value].add(at)
    return [Group(axis, name, frozenset(own), failing & own) for name, own in sorted(members.items())]
