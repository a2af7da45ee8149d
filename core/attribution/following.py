"""What an attribution asks of the next round's plan, as weights of the plan's cells and categories."""

from collections.abc import Iterable, Mapping

from ..generation.planning import Cell
from .remedies import MoreSamples


def cells_asked(more: Iterable[MoreSamples], grid: Mapping[str, Cell]) -> dict[str, float]:
    """How many samples are asked for in each cell of `grid`, by its name; remedies for the same cell add up.

    A remedy is for the cells of its category that have its controls; where none has them, as they are not among the
    loop's own, for all of the category. One for a category that is gone is left out.
    """
    weights: dict[str, float] = {}
    for remedy in more:
        own = [cell for cell in grid.values() if cell.category == remedy.category]
        just = [cell for cell in own if remedy.controls.items() <= dict(cell.controls).items()]
        for cell in just or own:
            weights[cell.name] = weights.get(cell.name, 0.0) + remedy.count / len(just or own)
    return weights


def categories_asked(more: Iterable[MoreSamples], grid: Mapping[str, Cell]) -> dict[str, float]:
    """The same by category."""
    weights: dict[str, float] = {}
    for name, count in cells_asked(more, grid).items():
        weights[grid[name].category] = weights.get(grid[name].category, 0.0) + count
    return weights
