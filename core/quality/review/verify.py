"""Verifiers: each claim of an answer against the knowledge that it must come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...teachers import Role
from ...text import normalised
from ..context import FunnelContext, Judgements
from .asking import Review, Unanswered
from .marks import Claim, question, read_claims, shown
from .tally import Tally, Unscored, family_notes, quorum, why_unscored
from .terms import invented_terms

Claims = tuple[Claim, ...]
FROM_A_TEXT = ("summarize", "rewrite")  # tasks whose answers say again what the user's text says


@dataclass(frozen=True)
class Checked:
    """An answer that has knowledge to stand on, and the terms in it that were invented."""

    knowledge: str
    question: str
    answer: str
    terms: tuple[str, ...]


@dataclass
class Supported(Tally):
    """How many rows had no knowledge to be checked against, and how many had invented terms."""

    without_knowledge: int = 0
    with_invented_terms: int = 0


class Verifier(Setting):
    """Drop answers that say what their knowledge does not.

    The knowledge is the passage that a sample was written about, or the text that it summarizes or rewrites; other
    samples pass unchecked. First, without a model, terms that stand neither there nor in the question are looked for
    (`invented_terms`, a score); then each verifier takes the answer apart into claims and says which are supported
    (`supported_claims`, their share). A verifier lets a sample pass when that share is at least `min_supported`; it
    stays when the share of the verifiers that let it pass is at least `agreement`.
    """

    needs: ClassVar[tuple[str, ...]] = ("review",)
    role: ClassVar[Role] = "verifier"
    template: ClassVar[str] = "verify"

    kind: Literal["verifier"] = "verifier"
    min_supported: float = Field(1.0, gt=0, le=1, description="smallest share of claims that must be supported")
    quotes: bool = Field(False, description="count a claim only when the words quoted for it do stand in the knowledge")
    invented: Literal["ask", "drop"] = Field(
        "ask", description="answers with invented terms: point them out to the verifiers, or drop them unasked"
    )
    agreement: float = Field(0.6, gt=0, le=1, description="share of the verifiers that must let a sample pass")
    unscored: Unscored = Field("keep", description="samples that too few verifiers could check")
    retries: int = Field(1, ge=0, le=5, description="further calls for a reply that cannot be read")
    max_tokens: int = Field(600, ge=32, description="longest reply, in tokens")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        review = context.review
        tally = review.tally(self, Supported)
        checked = {row: found for row, sample in enumerate(batch) if (found := _checked(sample, review.passages))}
        tally.without_knowledge += len(batch) - len(checked)
        tally.with_invented_terms += sum(bool(one.terms) for one in checked.values())
        reasons: list[str | None] = [None] * len(batch)
        supported: list[float | None] = [None] * len(batch)
        for row, one in checked.items():
            if one.terms:
                review.remarks[batch[row].id].append(f"verifier: invented terms: {', '.join(one.terms)}")
            if one.terms and self.invented == "drop":
                reasons[row] = "invented_term"
        rows = [row for row in checked if reasons[row] is None]
        for row, answers in zip(rows, self.ask(review, [checked[row] for row in rows]), strict=True):
            tally.add(answers)
            shares = [self.share(claims, checked[row]) for claims in answers if not isinstance(claims, Unanswered)]
            supported[row] = fmean(shares) if quorum(answers) else None
            reasons[row] = self._reason(answers, shares)
            review.remarks[batch[row].id] += self._remarks(answers, checked[row])
        terms = [float(len(checked[row].terms)) if row in checked else None for row in range(len(batch))]
        return Judgements(
            reasons,
            {"invented_terms": terms, "supported_claims": supported},
            figures=tally.figures()
            | {
                "without_knowledge": float(tally.without_knowledge),
                "with_invented_terms": float(tally.with_invented_terms),
            },
            notes=(*tally.notes(self.kind, self.unscored), *family_notes(review, self.role, self.kind)),
        )

    def ask(self, review: Review, checked: Sequence[Checked]) -> list[tuple[Claims | Unanswered, ...]]:
        template = review.template(self.template)
        requests = [question(template, vars(one), self.max_tokens) for one in checked]
        return list(zip(*review.ask(self.role, requests, read_claims, self.retries), strict=True))

    def share(self, claims: Claims, checked: Checked) -> float:
        return fmean(self._stands(claim, checked) for claim in claims)

    def _stands(self, claim: Claim, checked: Checked) -> bool:
        quoted = normalised(claim.quote)
        return claim.supported and (not self.quotes or bool(quoted and quoted in normalised(checked.knowledge)))

    def _reason(self, answers: Sequence[Claims | Unanswered], shares: Sequence[float]) -> str | None:
        if not quorum(answers):
            return "verifier_unscored" if self.unscored == "drop" else None
        votes = sum(share >= self.min_supported for share in shares) / len(shares)
        return None if votes >= self.agreement else "unsupported_claim"

    def _remarks(self, answers: Sequence[Claims | Unanswered], checked: Checked) -> list[str]:
        if not quorum(answers):
            return [f"verifier: unscored, {why_unscored(answers)}"]
        told = [claim for claims in answers if not isinstance(claims, Unanswered) for claim in claims]
        wrong = dict.fromkeys(claim.claim for claim in told if not self._stands(claim, checked))
        return [f"verifier: not supported: {'; '.join(wrong)}"] if wrong else []


def _checked(sample: Sample, passages: Mapping[str, str]) -> Checked | None:
    """What there is to check of a sample; None where it has no answer of its own, or no knowledge to stand on."""
    parts = shown(sample)
    name = sample.controls.get("passage", "")
    knowledge = passages.get(name, "") or (parts.question if sample.task in FROM_A_TEXT else "")
    if not knowledge and (name or sample.task == "grounded_qa"):
        knowledge = parts.instruction  # the passage stands in the prompt that is trained on
    if not knowledge.strip() or not parts.answer.strip() or sample.label is not None:
        return None
    return Checked(knowledge, parts.question, parts.answer, invented_terms(parts.answer, (knowledge, parts.question)))
