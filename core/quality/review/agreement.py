"""How far several judges agree: Krippendorff's α.

    α = 1 − D_o / D_e

D_o is the disagreement that was observed within units, D_e the one to be expected if values had fallen on units by
chance; 1 is perfect agreement, 0 is what chance gives, below 0 is worse than chance. Any number of coders, of which
some may be missing; two values differ by a δ² that depends on the level of measurement:

    nominal    1 for any two that are not the same
    ordinal    (values between the two ranks, the ends counted half)²
    interval   (difference)²

Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(units: Iterable[Sequence[Hashable | None]], level: Level = "nominal") -> float | None:
    """α of `units`, each of which has one value a coder, None where the coder gave none; at most 1.

    None where nothing can be told: no unit has two values, or all values that can be paired are the same, so that
    none could have been otherwise. Units with fewer than two values do not count. Memory grows with the square of
    the number of different values. Raises ValueError for a value that is NaN or infinite, and for one that is no
    number on an ordinal or interval scale.
    """
    paired = [counts for unit in units if (counts := _counted(unit, level)).total() > 1]
    values = sorted(set().union(*paired), key=repr if level == "nominal" else None)
    if len(values) < 2:
        return None
    coincidences = np.zeros((len(values), len(values)))
    for counts in paired:
        row = np.array([counts[value] for value in values], dtype=np.float64)
        coincidences += (np.outer(row, row) - np.diag(row)) / (row.sum() - 1)
    totals = coincidences.sum(axis=1)
    distances = _distances(values, totals, level)
    observed = float((coincidences * distances).sum())
    expected = float(totals @ distances @ totals) / float(totals.sum() - 1)
    return 1.0 - observed / expected


def _counted(unit: Sequence[Hashable | None], level: Level) -> Counter[Any]:
    counts: Counter[Any] = Counter(value for value in unit if value is not None)
    for value in counts:
        number = isinstance(value, int | float)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the value {value} cannot be compared with others; leave it out as None")
        if level != "nominal" and not number:
            raise ValueError(f"the value {value!r} has no place on an {level} scale; give numbers, or nominal")
    return counts


def _distances(values: Sequence[Any], totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """δ² of each pair of `values` (v,), as (v, v)."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    # the middle of a value's ranks: between two of them lie the ranks in between, and half of each end
    places = np.cumsum(totals) - totals / 2 if level == "ordinal" else np.array(values, dtype=np.float64)
    squares: NDArray[np.float64] = (places[:, None] - places[None, :]) ** 2
    return squares
