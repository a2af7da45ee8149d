"""Self-consistency: whether a model that is asked several times says the same, and whether it says the label."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ...chat.messages import ChatRequest
from ...samples import Sample
from ...settings import Setting
from ...teachers import Role
from ...text import normalised
from ..context import FunnelContext, Judgements
from .tally import Tally, Unscored, quorum, why_unscored


class SelfConsistency(Setting):
    """Drop labelled samples on which a model that draws its answer several times does not agree with itself.

    No right answer is needed for it: what is asked is the sample's own prompt. Scores `consistency`, the share of the
    commonest answer; `answer_entropy` in [0, 1], Shannon's over the answers, by the most it can be (1: no two
    alike); `label_share`, the share that is the sample's label. Several teachers of the role answer into one count.
    Samples without a label pass unasked. Source: Wang et al., Self-Consistency Improves Chain of Thought Reasoning
    (2022), where the majority is the answer; here its share is the measure.
    """

    needs: ClassVar[tuple[str, ...]] = ("review",)
    template: ClassVar[str] = ""  # it asks what the sample itself asks

    kind: Literal["self_consistency"] = "self_consistency"
    role: Role = Field("judge", description="which teachers are asked")
    times: int = Field(5, ge=2, le=64, description="answers that each of them draws")
    temperature: float = Field(0.7, gt=0, le=2, description="of the draws; at 0 every answer is the same")
    min_share: float = Field(0.6, ge=0, le=1, description="smallest share of the commonest answer")
    max_entropy: float = Field(1.0, ge=0, le=1, description="largest entropy of the answers")
    disputed: Literal["keep", "drop"] = Field("drop", description="samples whose commonest answer is another label")
    unscored: Unscored = Field("keep", description="samples to which no more than half of the answers came")
    max_tokens: int = Field(24, ge=1, description="longest answer, in tokens")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        review = context.review
        tally = review.tally(self, Tally)
        rows = [row for row, sample in enumerate(batch) if sample.label is not None]
        requests = [request for row in rows for request in self._requests(batch[row])]
        asked = review.ask(self.role, requests, normalised, cut=True)
        reasons: list[str | None] = [None] * len(batch)
        names = ("consistency", "answer_entropy", "label_share")
        scores: dict[str, list[float | None]] = {name: [None] * len(batch) for name in names}
        for place, row in enumerate(rows):
            own = slice(place * self.times, (place + 1) * self.times)
            answers = [answer for one in asked for answer in one[own]]
            tally.add(answers)
            label = normalised(batch[row].label or "")
            if quorum(answers):
                counts = Counter(answer for answer in answers if isinstance(answer, str))
                measured = (share(counts), entropy(counts), counts[label] / counts.total())
                for name, value in zip(names, measured, strict=True):
                    scores[name][row] = value
                reasons[row] = self._reason(counts, label)
            else:
                reasons[row] = "consistency_unscored" if self.unscored == "drop" else None
                review.remarks[batch[row].id].append(f"self_consistency: unscored, {why_unscored(answers)}")
        return Judgements(reasons, scores, figures=tally.figures(), notes=tuple(tally.notes(self.kind, self.unscored)))

    def _requests(self, sample: Sample) -> list[ChatRequest]:
        """The question that the sample's last message answers, `times` over."""
        last = max((at for at, turn in enumerate(sample.messages) if turn.role == "assistant"), default=None)
        return [
            ChatRequest(
                messages=sample.messages[:last],
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                seed=number,
            )
            for number in range(self.times)
        ]

    def _reason(self, counts: Counter[str], label: str) -> str | None:
        if share(counts) < self.min_share or entropy(counts) > self.max_entropy:
            return "inconsistent"
        beaten = counts[label] < max(counts.values())
        return "label_disputed" if beaten and self.disputed == "drop" else None


def share(counts: Counter[str]) -> float:
    """Share of the commonest answer, in (0, 1]."""
    return max(counts.values()) / counts.total()


def entropy(counts: Counter[str]) -> float:
    """Shannon entropy of the answers by that of as many different ones, in [0, 1]; 0 for a single answer."""
    total = counts.total()
    if total < 2:
        return 0.0
    shares = [count / total for count in counts.values()]
    return min(1.0, -sum(part * math.log(part) for part in shares) / math.log(total) + 0.0)
