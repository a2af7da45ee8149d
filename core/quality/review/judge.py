"""Judges: grades from 1 to 5 by one model or several, that vote; how far they agree is measured and told."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...teachers import Role
from ..context import FunnelContext, Judgements
from .agreement import krippendorff_alpha
from .asking import Review, Unanswered
from .marks import CRITERIA, Marks, question, read_marks, shown
from .tally import Tally, Unscored, family_notes, quorum, why_unscored

Answer = Marks | Unanswered


@dataclass
class Agreement(Tally):
    """The grades of all rows so far: of each criterion, and the lowest of each judge, which decides."""

    grades: dict[str, list[tuple[int | None, ...]]] = field(default_factory=lambda: defaultdict(list))

    def grade(self, answers: Sequence[Answer]) -> None:
        """Count one row with its grades."""
        self.add(answers)
        marks = [answer if isinstance(answer, Marks) else None for answer in answers]
        self.grades["lowest"].append(tuple(one.lowest if one else None for one in marks))
        for place, name in enumerate(CRITERIA):
            self.grades[name].append(tuple(one.grades[place] if one else None for one in marks))

    def alphas(self) -> dict[str, float]:
        """Krippendorff's α, ordinal: `alpha` of the lowest grades, `alpha_…` of each criterion, where it is known."""
        found = {
            "alpha" if name == "lowest" else f"alpha_{name}": krippendorff_alpha(grades, "ordinal")
            for name, grades in self.grades.items()
        }
        return {name: alpha for name, alpha in found.items() if alpha is not None}


class Judge(Setting):
    """Drop what the judges mark down: each grades accuracy, structure and truthfulness from 1 to 5, with reasons.

    A judge finds a sample good when its lowest grade is at least `min_score`; a sample stays when the share of the
    judges that find it good is at least `agreement`. Those that did not answer have no vote, and where no more than
    half did, the sample is unscored. Scores `judge` (mean of all grades), `judge_accuracy`, `judge_structure`,
    `judge_truthfulness`, and `judge_votes`, the share that finds it good.
    """

    needs: ClassVar[tuple[str, ...]] = ("review",)
    role: ClassVar[Role] = "judge"
    template: ClassVar[str] = "judge"

    kind: Literal["judge"] = "judge"
    min_score: int = Field(3, ge=1, le=5, description="lowest grade on any count with which a judge lets a sample pass")
    agreement: float = Field(0.6, gt=0, le=1, description="share of the judges that must let it pass")
    bar: float = Field(0.85, ge=0, le=1, description="Krippendorff's α under which several judges are not reliable")
    below_bar: Literal["warn", "drop"] = Field(
        "warn", description="then: say so, or also drop samples whose grades lie more than one apart on some count"
    )
    unscored: Unscored = Field("keep", description="samples that too few judges could grade")
    retries: int = Field(1, ge=0, le=5, description="further calls for a reply that cannot be read")
    max_tokens: int = Field(300, ge=32, description="longest reply, in tokens")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        review = context.review
        template = review.template(self.template)
        requests = [question(template, shown(sample)._asdict(), self.max_tokens) for sample in batch]
        answers = list(zip(*review.ask(self.role, requests, read_marks, self.retries), strict=True))
        tally = review.tally(self, Agreement)
        for sample, row in zip(batch, answers, strict=True):
            tally.grade(row)
            self._remark(sample, row, review)
        alphas = tally.alphas()
        strict = self.below_bar == "drop" and alphas.get("alpha", 1.0) < self.bar
        return Judgements(
            [self._reason(row, strict) for row in answers],
            _scores(answers, self.min_score),
            figures=tally.figures() | {"judges": float(len(review.reviewers(self.role)))} | alphas,
            notes=(
                *self._said(alphas),
                *tally.notes(self.kind, self.unscored),
                *family_notes(review, self.role, self.kind),
            ),
        )

    def _reason(self, answers: Sequence[Answer], strict: bool) -> str | None:
        if not quorum(answers):
            return "judge_unscored" if self.unscored == "drop" else None
        marks = _graded(answers)
        if strict and any(max(grades) - min(grades) > 1 for grades in zip(*(one.grades for one in marks), strict=True)):
            return "judges_disagree"
        return None if _votes(marks, self.min_score) >= self.agreement else "marked_down"

    def _remark(self, sample: Sample, answers: Sequence[Answer], review: Review) -> None:
        """What the strictest judge says; of an unscored sample, why it is."""
        if quorum(answers):
            judges = [one.model for one in review.reviewers(self.role)]
            marked = [(one, model) for one, model in zip(answers, judges, strict=True) if isinstance(one, Marks)]
            strictest, model = min(marked, key=lambda pair: pair[0].lowest)
            review.remarks[sample.id].append(f"judge {model}: {strictest.remark}")
        else:
            review.remarks[sample.id].append(f"judge: unscored, {why_unscored(answers)}")

    def _said(self, alphas: dict[str, float]) -> list[str]:
        if alphas.get("alpha", 1.0) >= self.bar:
            return []
        each = ", ".join(f"{name} {alphas[key]:.2f}" for name in CRITERIA if (key := f"alpha_{name}") in alphas)
        then = "samples on which they lie apart were dropped" if self.below_bar == "drop" else "their grades are a hint"
        return [
            f"judge: the judges agree at α = {alphas['alpha']:.2f}{f' ({each})' if each else ''}, "
            f"below the bar of {self.bar:g}; {then}."
        ]


def _graded(answers: Sequence[Answer]) -> list[Marks]:
    return [answer for answer in answers if isinstance(answer, Marks)]


def _votes(marks: Sequence[Marks], min_score: int) -> float:
    """Share of the judges that let a sample pass."""
    return sum(one.lowest >= min_score for one in marks) / len(marks)


def _scores(answers: Sequence[Sequence[Answer]], min_score: int) -> dict[str, list[float | None]]:
    scores: dict[str, list[float | None]] = defaultdict(list)
    for row in answers:
        marks = _graded(row) if quorum(row) else []
        means = [fmean(one.grades[place] for one in marks) if marks else None for place in range(len(CRITERIA))]
        scores["judge"].append(fmean(mean for mean in means if mean is not None) if marks else None)
        scores["judge_votes"].append(_votes(marks, min_score) if marks else None)
        for name, mean in zip(CRITERIA, means, strict=True):
            scores[f"judge_{name}"].append(mean)
    return dict(scores)
