"""The figures of the benchmark on forgetting: every group after every round, and what each remedy gains."""

from collections.abc import Mapping, Sequence
from statistics import median

from .cells import Cell, difference, item_means, share
from .forgetting_plot import Curve
from .results import Figure

ROUNDS = 3
NOTHING = "nothing"

Found = Mapping[str, Sequence[Sequence[Cell]]]
"""Remedy → round → the cell of each seed."""


def figures(case: str, found: Found, groups: Sequence[int | None], sources: Sequence[str]) -> list[Figure]:
    """Every group after every round; the first after the last with its interval and what the remedy gains there."""
    told = []
    for name, rounds in found.items():
        for number, cells in enumerate(rounds):
            for group in range(ROUNDS):
                right, _, _ = right_in(group, cells, groups, sources)
                told.append(Figure(case, name, f"group {group + 1} after round {number + 1}", right, "share right"))
        first, low, high = right_in(0, rounds[-1], groups, sources)
        told += [
            Figure(case, name, "first group at the end", first, f"of {groups.count(0)}"),
            Figure(case, name, "first group at the end, 95% from", low, "share right"),
            Figure(case, name, "first group at the end, 95% to", high, "share right"),
        ]
        whole = [share(cell.scores) for cell in rounds[-1]]
        told.append(Figure(case, name, "all groups at the end", sum(whole) / len(whole), "share right"))
        told.append(Figure(case, name, "seconds a round, median", seconds_of(rounds), "s"))
        for what, items in (("first group", 0), ("all groups", None)):
            if name == NOTHING or NOTHING not in found:
                continue
            gain, low, high = gained(items, rounds[-1], found[NOTHING][-1], groups, sources)
            told += [
                Figure(case, name, f"{what} at the end - {NOTHING}", gain, "share right"),
                Figure(case, name, f"{what} at the end - {NOTHING}, 95% from", low, "share right"),
                Figure(case, name, f"{what} at the end - {NOTHING}, 95% to", high, "share right"),
            ]
    return told


def right_in(
    group: int, cells: Sequence[Cell], groups: Sequence[int | None], sources: Sequence[str]
) -> tuple[float, float, float]:
    """The share of a group's items that is right, over the seeds, and its 95% interval; NaN without an item."""
    means = item_means(cells)
    return _over(group, means, [0.0] * len(means), groups, sources)


def gained(
    group: int | None,
    cells: Sequence[Cell],
    others: Sequence[Cell],
    groups: Sequence[int | None],
    sources: Sequence[str],
) -> tuple[float, float, float]:
    """How much more of a group, or of all for None, is right than with `others`, and the paired interval."""
    return _over(group, item_means(cells), item_means(others), groups, sources)


def _over(
    group: int | None,
    scores: Sequence[float | None],
    others: Sequence[float | None],
    groups: Sequence[int | None],
    sources: Sequence[str],
) -> tuple[float, float, float]:
    places = [
        at
        for at, own in enumerate(groups)
        if (group is None or own == group) and scores[at] is not None and others[at] is not None
    ]
    if not places:
        return (float("nan"),) * 3
    return difference([scores[at] for at in places], [others[at] for at in places], [sources[at] for at in places])


def seconds_of(rounds: Sequence[Sequence[Cell]]) -> float:
    """Of the second and later rounds of all seeds: training, Fisher information and answers. The median, for other
    work may hold one up."""
    return median(cell.seconds for cells in rounds[1:] for cell in cells)


def curves(found: Found, groups: Sequence[int | None], sources: Sequence[str]) -> list[Curve]:
    """What the picture shows of each remedy."""
    return [
        Curve(
            name,
            tuple(right_in(0, cells, groups, sources) for cells in rounds),
            tuple(right_in(group, rounds[-1], groups, sources)[0] for group in range(ROUNDS)),
        )
        for name, rounds in found.items()
    ]
