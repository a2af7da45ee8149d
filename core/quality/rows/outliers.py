"""Numbers that lie far from the others of their field."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ..filters import FunnelContext, Judgements
from .fields import number_in

Method = Literal["iqr", "z", "robust_z"]
Numbers = NDArray[np.float64]

LIMITS: dict[Method, float] = {"iqr": 3.0, "z": 3.5, "robust_z": 3.5}
NORMAL_MAD = 0.6745  # the median absolute deviation of a standard normal distribution
FARTHEST = 1e9  # what a distance counts at most, so that it stays finite


class Outliers(Setting):
    """Drop a sample whose number in one of the fields lies far outside those of the rows that it comes with.

    `iqr`: beyond the quartiles by `limit` times their distance (Tukey 1977; 3 is far out). `z`: standard deviations
    from the mean. `robust_z`: 0.6745 · |x − median| / MAD (Iglewicz & Hoaglin 1993, who propose 3.5). Fields are
    entries of `controls`; what is no number there is passed over. Scores `outlier`: the largest distance of a row over
    its fields, in limits; a row without such a number, or whose fields have too few of them or no spread, gets none.
    The statistics are of the rows that the filter is given, so what is dropped depends on them.
    """

    kind: Literal["outliers"] = "outliers"
    fields: tuple[str, ...] = Field(min_length=1, description="numeric fields, each judged by itself")
    method: Method = Field("iqr", description="how far is measured: iqr, z or robust_z")
    limit: float | None = Field(
        None, gt=0, le=1000, description="largest distance that is kept; unset: 3 for iqr, else 3.5"
    )
    min_rows: int = Field(20, ge=4, description="fewest numbers of a field on which anything is said")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        farthest = np.full(len(batch), np.nan)
        for name in self.fields:
            found = [
                (row, value)
                for row, sample in enumerate(batch)
                if (value := number_in(sample.controls.get(name))) is not None
            ]
            if len(found) >= self.min_rows:
                rows, values = [row for row, _ in found], np.array([value for _, value in found])
                farthest[rows] = np.fmax(farthest[rows], distances(values, self.method))
        limit = self.limit or LIMITS[self.method]
        scores = [None if np.isnan(distance) else min(float(distance) / limit, FARTHEST) for distance in farthest]
        return Judgements(
            ["outlier" if score is not None and score > 1 else None for score in scores], {"outlier": scores}
        )


def distances(values: Numbers, method: Method) -> Numbers:
    """How far each of `values` (n,) lies from the others, in the unit of `method`; all NaN where they do not spread."""
    ordered = np.sort(values)  # sums must not hang on the order of the rows
    scale = max(float(np.abs(ordered).max()), 1e-300)
    ordered, values = ordered / scale, values / scale  # so that squares of the largest numbers are finite
    if method == "iqr":
        low, high = np.quantile(ordered, [0.25, 0.75])
        spread, beyond = high - low, np.maximum(np.maximum(low - values, values - high), 0.0)
    elif method == "z":
        spread, beyond = ordered.std(), np.abs(values - ordered.mean())
    else:
        centre = np.median(ordered)
        beyond = np.abs(values - centre)
        spread = np.median(np.abs(ordered - centre)) / NORMAL_MAD
    if not spread > 0:
        return np.full(len(values), np.nan)
    with np.errstate(over="ignore"):
        far: Numbers = beyond / spread
    return far
