"""The funnel: filters in order, cheap before dear; each sees only what the ones before it kept."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ..chat.budget import Budget
from ..samples import Sample
from ..settings import Setting
from ..teachers import Role
from .duplicates import ExactDuplicates, NearDuplicates
from .filters import FunnelContext, Judgements, LabelAgreement, Novelty, Rules
from .personal.filter import PersonalData
from .review.consistency import SelfConsistency
from .review.judge import Judge
from .review.verify import Verifier

Asking = Judge | Verifier | SelfConsistency
"""Filters that ask teachers."""

Filter = Annotated[
    Rules | PersonalData | ExactDuplicates | NearDuplicates | Novelty | LabelAgreement | Asking,
    Field(discriminator="kind"),
]


class FilterCount(Setting):
    """What one filter did: rows in and out, drops by reason, seconds; what it measured over all rows, and remarks."""

    filter: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    seconds: float
    figures: dict[str, float] = Field({})
    notes: tuple[str, ...] = ()


class Funnel(Setting):
    """Which filters a sample must pass, in order."""

    filters: tuple[Filter, ...] = Field(
        (Rules(), ExactDuplicates(), NearDuplicates(), Novelty(), LabelAgreement()),
        description="filters in order, the cheap ones first",
    )
    budget: Budget = Field(
        Budget(), description="what teachers that are asked by filters may cost in one pass; then rows are unscored"
    )

    @property
    def asking(self) -> tuple[Asking, ...]:
        """The filters that ask teachers."""
        return tuple(judge for judge in self.filters if isinstance(judge, Asking))

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of the teachers that filters ask, each once."""
        return tuple(dict.fromkeys(judge.role for judge in self.asking))

    def split(
        self, samples: Sequence[Sample], context: FunnelContext
    ) -> tuple[list[Sample], list[Sample], list[FilterCount]]:
        """Kept samples with their scores, dropped ones with their reason, and what each filter did.

        Rows that have a `reject_reason` already, such as a reply that could not be read, are dropped as they are.
        """
        kept = [sample for sample in samples if sample.reject_reason is None]
        dropped = [sample for sample in samples if sample.reject_reason is not None]
        counts = []
        for judge in self.filters:
            started, rows_in, reasons = time.perf_counter(), len(kept), Counter[str]()
            judged = Judgements([])
            if kept:
                judged = judge(kept, context)
                survivors = []
                for index, (row, reason) in enumerate(zip(kept, judged.reasons, strict=True)):
                    sample = judged.changed.get(index, row)
                    scored = sample.with_scores(**judged.scores_of(index))
                    if reason is None:
                        survivors.append(scored)
                    else:
                        dropped.append(scored.rejected(reason))
                        reasons[reason] += 1
                kept = survivors
            counts.append(
                FilterCount(
                    filter=judge.kind,
                    rows_in=rows_in,
                    rows_out=len(kept),
                    dropped=dict(reasons),
                    seconds=time.perf_counter() - started,
                    figures=judged.figures,
                    notes=judged.notes,
                )
            )
        return kept, dropped, counts
