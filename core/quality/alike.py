"""Of rows that are alike one is kept, and the others say which; what is like a known text says that."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..samples import Sample
from ..settings import Setting
from .context import Judgements
from .known import Text
from .shingles import Ints

Keep = Literal["first", "best"]
Ranks = NDArray[np.float64]
Flags = NDArray[np.bool_]


class OneOfAlike(Setting):
    """Which of several samples that are alike is kept."""

    keep: Keep = Field("first", description="which of several alike is kept: the first, or the best by a score")
    best_by: str = Field(
        "",
        description="with `keep: best`: the score whose highest value is kept; rows without it rank last",
    )

    @model_validator(mode="after")
    def _keep_fits_best_by(self) -> "OneOfAlike":
        if self.keep == "best" and not self.best_by:
            raise ValueError("`keep: best` needs `best_by`, the name of a score; or write `keep: first`")
        if self.keep == "first" and self.best_by:
            raise ValueError("`best_by` counts with `keep: best` only; write that, or remove `best_by`")
        return self

    def ranks(self, batch: Sequence[Sample]) -> Ranks:
        """What decides among those alike, (n,): higher is better."""
        if not self.best_by:
            return np.zeros(len(batch))
        return np.array([sample.scores.get(self.best_by, -np.inf) for sample in batch], dtype=np.float64)


def kept_of_each(groups: NDArray[Any], ranks: Ranks) -> Ints:
    """For each row (n,) the one that is kept of its group: the highest of `ranks`, of equal ones the first."""
    order = np.lexsort((-ranks, groups))
    begins = np.diff(groups[order], prepend=~groups[order[:1]]) != 0
    leaders = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))] if len(order) else order
    kept = np.empty(len(groups), dtype=np.int64)
    kept[order] = leaders
    return kept


def one_of_each(groups: NDArray[Any], ranks: Ranks) -> Flags:
    """Of the rows (n,) of each group, which one is kept; see `kept_of_each`."""
    flags: Flags = kept_of_each(groups, ranks) == np.arange(len(groups))
    return flags


def found_in(values: NDArray[Any], known: NDArray[Any]) -> Ints:
    """Where each of `values` (n,) stands first in `known` (m,); −1 where it does not."""
    if not len(known):
        return np.full(len(values), -1, dtype=np.int64)
    distinct, first = np.unique(known, return_index=True)
    at = np.searchsorted(distinct, values).clip(max=len(distinct) - 1)
    found: Ints = np.where(distinct[at] == values, first[at], -1)
    return found


class Likes:
    """Reasons as they are found, with what each row is like; the reason that is found first stays."""

    def __init__(self, rows: int) -> None:
        self._reasons: list[str | None] = [None] * rows
        self._like: dict[int, int | str] = {}
        self._groups: dict[str, Counter[str]] = {}
        self._figures: dict[str, float] = {}

    @property
    def left(self) -> Ints:
        """The rows without a reason."""
        return np.flatnonzero([reason is None for reason in self._reasons])

    def known(self, reason: str, found: Ints, texts: Sequence[Text]) -> None:
        """Drop each row (n,) that is like one of `texts`: `found` is its index, −1 where it is like none."""
        groups = Counter[str]()
        for row in np.flatnonzero(found >= 0).tolist():
            if self._reasons[row] is None:
                text = texts[int(found[row])]
                self._reasons[row], self._like[row] = reason, text.place
                groups[text.group] += bool(text.group)
        if groups := +groups:
            self._groups[reason] = groups

    def drop(self, reason: str, rows: Ints) -> None:
        """Drop `rows` that are like something of which no more is known."""
        for row in rows.tolist():
            self._reasons[row] = reason

    def among(self, reason: str, rows: Ints, kept: Ints) -> None:
        """Of `rows` (m,) drop those that are not the row `kept` (m,) of their cluster; both number rows of all."""
        again = rows != kept
        for row, one in zip(rows[again].tolist(), kept[again].tolist(), strict=True):
            self._reasons[row], self._like[row] = reason, one
        sizes = np.unique(kept, return_counts=True)[1]
        if (several := sizes[sizes > 1]).size:
            self._figures |= {"clusters": float(len(several)), "largest_cluster": float(several.max())}

    @property
    def pairs(self) -> tuple[Ints, Ints]:
        """The rows that another row stands for, and that row."""
        pairs = [(row, one) for row, one in self._like.items() if isinstance(one, int)]
        rows, others = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return rows, others

    def judgements(
        self,
        scores: Mapping[str, Sequence[float | None]] | None = None,
        figures: Mapping[str, float] | None = None,
        notes: Sequence[str] = (),
    ) -> Judgements:
        """What was found, and how much of it in which suite."""
        said = [
            f"{reason}: {', '.join(f'{rows:,} of `{group}`' for group, rows in sorted(groups.items()))}."
            for reason, groups in self._groups.items()
        ]
        by_suite = {
            f"{reason}_{group}": float(rows)
            for reason, groups in self._groups.items()
            for group, rows in groups.items()
        }
        return Judgements(
            self._reasons,
            scores or {},
            like=self._like,
            figures={**self._figures, **by_suite, **(figures or {})},
            notes=(*notes, *said),
        )
