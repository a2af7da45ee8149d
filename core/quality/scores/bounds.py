"""What is common to filters that give each row a score: bounds, rows that cannot be scored, figures of all rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...evaluation.scorers import Score
from ...settings import Setting
from ..context import Judgements

PERCENTILES = {"p5": 5, "median": 50, "p95": 95}


@dataclass(frozen=True)
class Measured:
    """What a filter measured of some rows; two of these add up. 8 bytes a row are kept, for the percentiles."""

    values: tuple[NDArray[np.float64], ...]
    unscored: Counter[str] = field(default_factory=Counter)
    """Rows without a score, by reason."""
    remarks: Counter[str] = field(default_factory=Counter)
    """Half sentences, and of how many rows they are true: `were cut at 256 tokens`."""

    def __add__(self, other: Self) -> Self:
        return type(self)(self.values + other.values, self.unscored + other.unscored, self.remarks + other.remarks)


class Bounded(Setting):
    """Gives a row a score; drops it where the score lies outside the bounds, which are open unless they are set."""

    score: ClassVar[str]
    """The score that the bounds are about, and what the reasons begin with."""
    least: ClassVar[float]
    most: ClassVar[float]

    min: float | None = Field(None, allow_inf_nan=False, description="smallest score that is kept; unset: any")
    max: float | None = Field(None, allow_inf_nan=False, description="largest score that is kept; unset: any")
    unscored: Literal["keep", "drop"] = Field("keep", description="rows that could not be scored")

    @model_validator(mode="after")
    def _something_is_kept(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("`min` is above `max`, so nothing would be kept")
        if self.min is not None and self.min > self.most:
            raise ValueError(f"`min` is above {self.most:g}, the highest score there is, so nothing would be kept")
        if self.max is not None and self.max < self.least:
            raise ValueError(f"`max` is below {self.least:g}, the lowest score there is, so nothing would be kept")
        return self

    def judged(
        self,
        found: Sequence[Score],
        others: Mapping[str, Sequence[float | None]] | None = None,
        remarks: Mapping[str, int] | None = None,
    ) -> Judgements:
        """The score of each row as judgements; `others` are scores beside the one that is bounded."""
        values = np.array([one.value for one in found if one.value is not None], dtype=np.float64)
        unscored = Counter(one.reason for one in found if one.value is None)
        return Judgements(
            [self._reason(one.value) for one in found],
            {self.score: [one.value for one in found], **(others or {})},
            seen=Measured((values,), unscored, Counter(remarks or {})),
        )

    def summary(self, seen: Measured) -> tuple[dict[str, float], tuple[str, ...]]:
        """Figures of all rows, and a sentence for what people should know."""
        values = np.concatenate(seen.values)
        missing = seen.unscored.total()
        rows = len(values) + missing
        figures = {"scored": float(len(values)), "unscored": float(missing)}
        if len(values):
            figures["mean"] = float(values.mean())
            figures |= {name: float(np.percentile(values, at)) for name, at in PERCENTILES.items()}
        notes = [f"{self.score}: {count} of {rows} rows {what}." for what, count in sorted(seen.remarks.items())]
        if missing:
            why = ", ".join(f"{reason} {count}" for reason, count in sorted(seen.unscored.items()))
            done = "kept" if self.unscored == "keep" else "dropped"
            notes.append(f"{self.score}: {missing} of {rows} rows could not be scored ({why}) and were {done}.")
        return figures, tuple(notes)

    def _reason(self, value: float | None) -> str | None:
        if value is None:
            return f"{self.score}_unscored" if self.unscored == "drop" else None
        if self.min is not None and value < self.min:
            return f"{self.score}_low"
        if self.max is not None and value > self.max:
            return f"{self.score}_high"
        return None
