"""The funnel: filters in order, cheap before dear; each sees only what the ones before it kept."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ..samples import Sample
from ..settings import Setting
from .duplicates import ExactDuplicates, NearDuplicates
from .filters import FunnelContext, LabelAgreement, Novelty, Rules
from .personal.filter import PersonalData
from .rows.advertising import Advertising
from .rows.code import CodeChecks
from .rows.debris import TemplateDebris
from .rows.dialogue import DialogueChecks
from .rows.fields import Fields
from .rows.language import Language
from .rows.outliers import Outliers
from .rows.repetition import Repetition
from .rows.structure import Structure

Filter = Annotated[
    Rules
    | TemplateDebris
    | Repetition
    | Language
    | Structure
    | Advertising
    | Fields
    | Outliers
    | DialogueChecks
    | CodeChecks
    | PersonalData
    | ExactDuplicates
    | NearDuplicates
    | Novelty
    | LabelAgreement,
    Field(discriminator="kind"),
]


class FilterCount(Setting):
    """What one filter did: rows in and out, drops by reason, seconds."""

    filter: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    seconds: float


class Funnel(Setting):
    """Which filters a sample must pass, in order."""

    filters: tuple[Filter, ...] = Field(
        (Rules(), ExactDuplicates(), NearDuplicates(), Novelty(), LabelAgreement()),
        description="filters in order, the cheap ones first",
    )

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
                )
            )
        return kept, dropped, counts
