"""The filters of the funnel. Each is its settings, and answers a batch with a reason a row or none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..models.encoder import Encode
from ..samples import Sample
from ..settings import Setting
from ..text import normalised, words

Array = NDArray[np.float32]

MACHINE_TALK = (
    "as an ai", "language model", "customer message", "here is a", "here's a", "the customer", "topic:",
    "i can help you", "how can i help", "we can help you",
)  # fmt: skip


class FunnelContext:
    """What filters may look at besides the batch: seeds as (text, label), held-out texts, embeddings."""

    def __init__(self, encode: Encode, seeds: Sequence[tuple[str, str]], held_out: Sequence[str] = ()) -> None:
        self.seeds = seeds
        self.held_out = held_out
        self._encode = encode
        self._known: dict[str, Array] = {}

    def embed(self, texts: Sequence[str]) -> Array:
        """Unit rows (n, d) for `texts`; a text that several filters ask for is encoded once."""
        if fresh := list(dict.fromkeys(text for text in texts if text not in self._known)):
            self._known.update(zip(fresh, self._encode(fresh), strict=True))
        return np.stack([self._known[text] for text in texts])


@dataclass(frozen=True)
class Judgements:
    """One reason or None for each row of a batch, scores by name, and what a row becomes where it is changed."""

    reasons: list[str | None]
    scores: dict[str, list[float]] = field(default_factory=dict)
    changed: dict[int, Sample] = field(default_factory=dict)


class Rules(Setting):
    """Drop what no reader would take for a message: empty, cut off, too short or long, debris, repetition."""

    kind: Literal["rules"] = "rules"
    min_words: int = Field(3, ge=0, description="fewest words")
    max_words: int = Field(80, ge=1, description="most words")
    banned: tuple[str, ...] = Field(
        MACHINE_TALK, description="phrases that give away a machine, the prompt, or the other side of the desk"
    )
    allow_cut: bool = Field(False, description="keep texts that ended at the token limit")
    max_repetition: float = Field(0.35, ge=0, le=1, description="largest share of word pairs that stood before")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return Judgements([self._reason(sample) for sample in batch])

    def _reason(self, sample: Sample) -> str | None:
        text = sample.prompt
        found = words(text)
        if not found:
            return "empty"
        if len(found) < self.min_words:
            return "too_short"
        if len(found) > self.max_words:
            return "too_long"
        if sample.cut_off and not self.allow_cut:
            return "cut_off"
        folded = normalised(text)
        if any(phrase.casefold() in folded for phrase in (*self.banned, *_code_names(sample))):
            return "debris"
        pairs = list(pairwise(found))
        if pairs and 1 - len(set(pairs)) / len(pairs) > self.max_repetition:
            return "repetition"
        return None


def _code_names(sample: Sample) -> list[str]:
    """The label, if it is written as nobody writes in a message: `move_house`, but not `refund`."""
    return [sample.label] if sample.label and "_" in sample.label else []


class Novelty(Setting):
    """Drop a text that says just what a seed says: cosine to the nearest seed above the limit."""

    kind: Literal["novelty"] = "novelty"
    max_cosine: float = Field(0.95, gt=0, le=1, description="largest cosine to a seed that is kept")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        seeds = context.embed([text for text, _ in context.seeds])
        nearest = (context.embed([sample.prompt for sample in batch]) @ seeds.T).max(axis=1)
        return Judgements(
            ["not_novel" if cosine > self.max_cosine else None for cosine in nearest],
            {"nearest_seed": [float(cosine) for cosine in nearest]},
        )


class LabelAgreement(Setting):
    """Drop a sample whose text lies nearer to another label's seeds than to its own.

    Scores `label_margin`: cosine to the own label's centroid minus the best other one, in [-2, 2]. Samples without a
    label, as most tasks have them, pass unscored.
    """

    kind: Literal["label_agreement"] = "label_agreement"
    margin: float = Field(0.05, ge=-2, le=2, description="smallest margin that is kept")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        labels = sorted({label for _, label in context.seeds if label})
        if len(labels) < 2 or not all(sample.label for sample in batch):
            return Judgements([None] * len(batch))
        seeds = context.embed([text for text, _ in context.seeds])
        own = np.array([labels.index(label) for _, label in context.seeds])
        centroids = np.stack([seeds[own == index].mean(axis=0) for index in range(len(labels))])
        centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
        cosines = context.embed([sample.prompt for sample in batch]) @ centroids.T
        margins = label_margins(cosines, np.array([labels.index(sample.label or "") for sample in batch]))
        return Judgements(
            ["label_disagrees" if margin < self.margin else None for margin in margins],
            {"label_margin": [float(margin) for margin in margins]},
        )


def label_margins(cosines: Array, labels: NDArray[np.int64]) -> Array:
    """Own cosine minus the best other one; `cosines` (n, labels), `labels` (n,) indices. Returns (n,)."""
    rows = np.arange(len(cosines))
    own = cosines[rows, labels]
    others = cosines.copy()
    others[rows, labels] = -np.inf
    margins: Array = own - others.max(axis=1)
    return margins
