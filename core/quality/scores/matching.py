"""BERTScore: an answer and its reference matched token by token, by what an encoder makes of the tokens."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ...errors import ConfigError
from ...evaluation.scorers import Score
from ...models.encoder import Encoder, Vectors
from ...samples import Sample
from ..context import FunnelContext, Judgements, Need
from .models import ENCODER, Found
from .overlap import Against, Pair


class BertScore(Against):
    """Score how well the tokens of an answer and of a reference match (Zhang et al. 2020, "BERTScore").

    Each token is matched with the nearest one of the other text: `bert_precision` is the mean cosine over the tokens
    of the answer, `bert_recall` over those of the reference, `bert_score` their F1. Special tokens count nowhere; no
    weights by rarity, no rescaling, so that scores lie close together and differ from encoder to encoder: compare
    those of one model only. A text beyond what the encoder reads is cut, and the report says of how many rows.
    """

    needs: ClassVar[tuple[Need, ...]] = ("models",)
    score: ClassVar[str] = "bert_score"
    least: ClassVar[float] = -1.0
    most: ClassVar[float] = 1.0

    kind: Literal["bert_score"] = "bert_score"
    model: str = Field(
        ENCODER, min_length=1, description="`encoder` of the loop, a catalogue name, folder or hub id of an encoder"
    )
    layer: int | None = Field(
        None, ge=0, le=200, description="the layer whose states are matched; unset: the last. 0 is before the first"
    )

    @property
    def scored_by(self) -> tuple[str, ...]:
        """The models that are asked."""
        return (self.model,)

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        encoder = context.models(self.model, load_encoder)
        if self.layer is not None and self.layer > encoder.layers:
            raise ConfigError(
                f"bert_score: `layer: {self.layer}` is beyond the {encoder.layers} layers of {self.model}"
            )
        pairs = [self.pair(sample) for sample in batch]
        both = [pair for pair in pairs if isinstance(pair, Pair)]
        vectors = encoder.by_token([text for pair in both for text in pair], self.layer)
        matches = iter([_match(one.rows, other.rows) for one, other in zip(vectors[::2], vectors[1::2], strict=True)])
        found = [next(matches) if isinstance(pair, Pair) else pair for pair in pairs]
        cut = sum(one.cut or other.cut for one, other in zip(vectors[::2], vectors[1::2], strict=True))
        parts = [one if isinstance(one, Match) else None for one in found]
        return self.judged(
            [Score(one.f1) if isinstance(one, Match) else one for one in found],
            {
                "bert_precision": [None if one is None else one.precision for one in parts],
                "bert_recall": [None if one is None else one.recall for one in parts],
            },
            {f"were cut at {encoder.most_tokens} tokens": cut} if cut else None,
        )


class Match(NamedTuple):
    """How well two texts match, each in [-1, 1]."""

    precision: float
    recall: float
    f1: float


def greedy_match(answer: Vectors, reference: Vectors) -> Match:
    """Greedy matching of rows of unit length (n, d) and (m, d), n and m at least 1; equations 1 to 3 of Zhang et al."""
    cosines = answer @ reference.T
    precision, recall = float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())
    together = precision + recall
    # below 0 the harmonic mean of the two is no mean any more
    f1 = 2 * precision * recall / together if precision > 0 and recall > 0 else min(precision, recall)
    return Match(*(float(np.clip(value, -1, 1)) for value in (precision, recall, f1)))


def load_encoder(found: Found) -> Encoder:
    """The encoder `found`. Raises ModelError for what is none."""
    return Encoder.load(found.files)


def _match(answer: Vectors, reference: Vectors) -> Match | Score:
    if not len(answer):
        return Score.unscored("no_answer")
    if not len(reference):
        return Score.unscored("no_reference")
    match = greedy_match(answer, reference)
    return match if np.isfinite(match.f1) else Score.unscored("not_finite")
