"""Numbers that lie far from the others of their field."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ..context import FunnelContext, Judgements
from ..shingles import Ints
from ..sketches import Heard, unheard
from .fields import number_in

Method = Literal["iqr", "z", "robust_z"]
Numbers = NDArray[np.float64]

LIMITS: dict[Method, float] = {"iqr": 3.0, "z": 3.5, "robust_z": 3.5}
NORMAL_MAD = 0.6745  # the median absolute deviation of a standard normal distribution


class Outliers(Setting):
    """Drop a sample whose number in one of the fields lies far outside those of the rows that it comes with.

    `iqr`: beyond the quartiles by `limit` times their distance (Tukey 1977; 3 is far out). `z`: standard deviations
    from the mean. `robust_z`: 0.6745 · |x − median| / MAD (Iglewicz & Hoaglin 1993, who propose 3.5). Fields are
    entries of `controls`; what is no number there is passed over. A field with too few numbers
    or no spread says nothing. The statistics are of all rows that the filters before this one kept.
    """

    kind: Literal["outliers"] = "outliers"
    fields: tuple[str, ...] = Field(min_length=1, description="numeric fields, each judged by itself")
    method: Method = Field("iqr", description="how far is measured: iqr, z or robust_z")
    limit: float | None = Field(
        None, gt=0, le=1000, description="largest distance that is kept; unset: 3 for iqr, else 3.5"
    )
    min_rows: int = Field(20, ge=4, description="fewest numbers of a field on which anything is said")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return Judgements(self.decide([self.gather(batch, context)], context))

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> "Measured":
        found = [[number_in(sample.controls.get(name)) for name in self.fields] for sample in batch]
        return Measured(np.array(found, dtype=np.float64).reshape(len(batch), len(self.fields)))

    def decide(self, batches: Sequence["Measured"], context: FunnelContext, heard: Heard = unheard) -> list[str | None]:
        numbers = np.concatenate([batch.numbers for batch in batches])
        limit = self.limit or LIMITS[self.method]
        far = np.zeros(len(numbers), dtype=bool)
        for values in numbers.T:
            known = ~np.isnan(values)
            if known.sum() >= self.min_rows:
                far[known] |= distances(values[known], self.method) > limit  # NaN, where nothing spreads, is not far
        return ["outlier" if out else None for out in far]


@dataclass(frozen=True)
class Measured:
    """The numbers of a batch (n, fields); NaN where there is none."""

    numbers: Numbers

    def take(self, rows: Ints) -> Self:
        """Only `rows`, in their order."""
        return type(self)(self.numbers[rows])


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
