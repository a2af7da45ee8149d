"""What the funnel says of each row of a batch, and the rows as it leaves them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..samples import Sample
from .context import FunnelContext

DUPLICATE_OF = "duplicate_of"
"""The control, and in files the column, that says what a dropped row is like."""


class Unreadable(NamedTuple):
    """What stands in the place of a sample that could not be read."""

    why: str


class Batch(Protocol):
    """Rows that can be read more than once."""

    def __len__(self) -> int: ...

    def samples(self, rows: Sequence[int]) -> Iterable[Sample | Unreadable]:
        """Those of `rows`, ascending."""
        ...


@dataclass
class Verdict:
    """What the funnel says of each row of a batch; a few bytes a row."""

    reasons: list[str | None]
    scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """(rows,), NaN where it is not known."""
    changed: NDArray[np.uint64] | None = None
    """(rows,): bit i is set where filter i of the funnel changed the row."""
    like: dict[int, int | str] = field(default_factory=dict)
    """Dropped row → the row of this run, counted from 0 over all batches, or the known text that it is like."""
    unreadable: dict[int, str] = field(default_factory=dict)
    """Row → why; it has no reason, and is neither kept nor dropped."""

    def left(self) -> list[int]:
        """Rows that no filter has dropped."""
        return [row for row, why in enumerate(self.reasons) if why is None and row not in self.unreadable]

    def scores_of(self, row: int) -> dict[str, float]:
        """What is known of one row."""
        return {name: float(values[row]) for name, values in self.scores.items() if not np.isnan(values[row])}

    def score(self, name: str, rows: Sequence[int], values: Sequence[float | None]) -> None:
        """Note the scores `values` of `rows`."""
        known = self.scores.setdefault(name, np.full(len(self.reasons), np.nan))
        known[rows] = [np.nan if value is None else value for value in values]

    def change(self, filter_: int, rows: Sequence[int]) -> None:
        """Note that a filter changed `rows`."""
        if rows:
            if self.changed is None:
                self.changed = np.zeros(len(self.reasons), dtype=np.uint64)
            self.changed[rows] |= np.uint64(1 << filter_)


def as_judged(
    filters: Sequence[Any], batch: Batch, verdict: Verdict, rows: Sequence[int], context: FunnelContext
) -> list[Sample]:
    """`rows` as the verdict says: changed, with their scores, and with a reason where they were dropped.

    A row that a filter changed is read, and that filter asked again, so that no changed row need be kept.
    """
    samples = [sample for sample in batch.samples(rows) if isinstance(sample, Sample)]
    if verdict.changed is not None:
        for number, judge in enumerate(filters):
            those = [at for at, row in enumerate(rows) if int(verdict.changed[row]) >> number & 1]
            for at, sample in judge([samples[at] for at in those], context).changed.items() if those else ():
                samples[those[at]] = sample
    for at, row in enumerate(rows):
        if scores := verdict.scores_of(row):
            samples[at] = samples[at].with_scores(**scores)
        if (reason := verdict.reasons[row]) is not None:
            samples[at] = samples[at].rejected(reason)
    return samples


def saying_what_it_is_like(sample: Sample, other: str) -> Sample:
    """A dropped sample that says which other row, or which known text, it was dropped for."""
    return sample.model_copy(update={"controls": sample.controls | {DUPLICATE_OF: other}})


def with_likes(judged: Sequence[Sample], verdicts: Sequence[Verdict]) -> list[Sample]:
    """All rows of a run as they were judged, those that are like another one with its id."""
    found, start = list(judged), 0
    for verdict in verdicts:
        for row, like in verdict.like.items():
            other = like if isinstance(like, str) else judged[like].id
            found[start + row] = saying_what_it_is_like(found[start + row], other)
        start += len(verdict.reasons)
    return found
