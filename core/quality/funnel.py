"""The funnel: filters in order, cheap before dear; each sees only what the ones before it kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field

from ..chat.budget import Budget
from ..models.progress import Progress, silent
from ..samples import Sample
from ..settings import Setting
from ..teachers import Role
from .context import FunnelContext, Need
from .duplicates import ExactDuplicates, NearDuplicates
from .filters import LabelAgreement, Novelty, Rules
from .meaning import EmbeddingDuplicates
from .passes import MOST_FILTERS, ROWS, Each, judge_all
from .personal.filter import PersonalData
from .review.consistency import SelfConsistency
from .review.judge import Judge
from .review.verify import Verifier
from .rows.advertising import Advertising
from .rows.code import CodeChecks, CodeDuplicates
from .rows.debris import TemplateDebris
from .rows.dialogue import DialogueChecks
from .rows.fields import Fields
from .rows.language import Language
from .rows.outliers import Outliers
from .rows.repetition import Repetition
from .rows.structure import Structure
from .scores.diversity import Diversity
from .scores.matching import BertScore
from .scores.overlap import Bleu, RougeL
from .scores.perplexity import Perplexity
from .scores.pictures import ClipScore
from .scores.preference import Preference
from .seen import SeenBefore
from .verdicts import Batch, Verdict, as_judged, with_likes

Asking = Judge | Verifier | SelfConsistency
"""Filters that ask teachers."""

Scoring = Perplexity | Bleu | RougeL | BertScore | ClipScore | Preference
"""Filters that give each row a score and drop it where that lies outside their bounds."""
ASKING: frozenset[str] = frozenset(one.model_fields["kind"].default for one in get_args(Asking))
"""Their kinds."""

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
    | CodeDuplicates
    | PersonalData
    | ExactDuplicates
    | NearDuplicates
    | EmbeddingDuplicates
    | SeenBefore
    | Novelty
    | LabelAgreement
    | Diversity
    | Scoring
    | Asking,
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


@dataclass(frozen=True)
class Given:
    """A batch of samples that are in memory."""

    given: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.given)

    def samples(self, rows: Sequence[int]) -> Iterable[Sample]:
        return [self.given[row] for row in rows]


class Funnel(Setting):
    """Which filters a sample must pass, in order."""

    filters: tuple[Filter, ...] = Field(
        (Rules(), ExactDuplicates(), NearDuplicates(), Novelty(), LabelAgreement()),
        max_length=MOST_FILTERS,
        description="filters in order, the cheap ones first",
    )
    budget: Budget = Field(
        Budget(), description="what teachers that are asked by filters may cost in one pass; then rows are unscored"
    )

    @property
    def needs(self) -> dict[Need, str]:
        """What of the context the filters cannot do without, and the first one that says so."""
        found: dict[Need, str] = {}
        for judge in self.filters:
            for need in getattr(judge, "needs", ()):
                found.setdefault(need, judge.kind)
        return found

    @property
    def remembering(self) -> tuple[Path, ...]:
        """The files in which filters remember what they saw in earlier runs."""
        return tuple(Path(judge.file) for judge in self.filters if isinstance(judge, SeenBefore))

    @property
    def asking(self) -> tuple[Asking, ...]:
        """The filters that ask teachers."""
        return tuple(judge for judge in self.filters if isinstance(judge, Asking))

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of the teachers that filters ask, each once."""
        return tuple(dict.fromkeys(judge.role for judge in self.asking))

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The models that filters score with, each once."""
        return tuple(dict.fromkeys(name for judge in self.filters for name in getattr(judge, "scored_by", ())))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that filters read, each once."""
        return tuple(dict.fromkeys(name for judge in self.filters for name in getattr(judge, "files", ())))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a file that filters want to see as controls, each once."""
        return tuple(dict.fromkeys(name for judge in self.filters for name in getattr(judge, "columns", ())))

    def split(
        self, samples: Sequence[Sample], context: FunnelContext
    ) -> tuple[list[Sample], list[Sample], list[FilterCount]]:
        """Kept samples with their scores, dropped ones with their reason, and what each filter did.

        Both are in the order of `samples`. Rows that have a `reject_reason` already, such as a reply that could not
        be read, are dropped as they are.
        """
        batches = [Given(samples[start : start + ROWS]) for start in range(0, len(samples), ROWS)]
        verdicts, counts = self.judge(batches, context)
        judged = [
            sample
            for batch, verdict in zip(batches, verdicts, strict=True)
            for sample in as_judged(self.filters, batch, verdict, range(len(batch)), context)
        ]
        judged = with_likes(judged, verdicts)
        kept = [sample for sample in judged if sample.reject_reason is None]
        dropped = [sample for sample in judged if sample.reject_reason is not None]
        return kept, dropped, counts

    def judge(
        self,
        batches: Iterable[Batch],
        context: FunnelContext,
        *,
        each: Each = map,
        progress: Progress = silent,
        rows: int = 0,
    ) -> tuple[list[Verdict], list[FilterCount]]:
        """The verdict on each batch, in order, and what each filter did; see `passes`.

        Seconds are those of all processes together.
        """
        verdicts, tallies = judge_all(self.filters, batches, context, each=each, progress=progress, rows=rows)
        counts = [
            FilterCount(
                filter=judge.kind,
                rows_in=tally.rows_in,
                rows_out=tally.rows_in - tally.dropped.total(),
                dropped=dict(tally.dropped),
                seconds=tally.seconds,
                figures=tally.figures,
                notes=tally.notes,
            )
            for judge, tally in zip(self.filters, tallies, strict=True)
        ]
        return verdicts, counts
