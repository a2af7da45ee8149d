"""The filters of the funnel. Each is its settings, and answers a batch with a reason a row or none."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..samples import Sample
from ..settings import Setting
from ..text import folded, normalised, words_of
from .context import Array, FunnelContext, Judgements, Need, pool_needs, threshold_needs
from .parts import Part, texts_of
from .phrases import PhraseLanguage, phrases_for
from .thresholds import Auto

Phrase = Annotated[str, Field(pattern=r"\S")]


class Rules(Setting):
    """Drop what no reader would take for a message: empty, cut off, too short or long, debris, repetition.

    Judges what the user said last; `judges: [answer]` judges answers instead, which need lengths of their own, so
    that a funnel may well hold two of these. A message of user or assistant that is empty is dropped whatever is
    judged.
    """

    kind: Literal["rules"] = "rules"
    judges: tuple[Part, ...] = Field(("prompt",), min_length=1, description="which messages are judged")
    min_words: int = Field(3, ge=0, description="fewest words; a Chinese or Japanese character counts as one")
    max_words: int = Field(80, ge=1, description="most words")
    min_chars: int = Field(0, ge=0, description="fewest characters, spaces at the ends not counted")
    max_chars: int | None = Field(None, ge=1, description="most characters; unset: any number")
    language: PhraseLanguage = Field("en", description="whose phrases are banned where `banned` does not say")
    banned: tuple[Phrase, ...] = Field(
        default_factory=lambda known: phrases_for(known.get("language", "en"), known.get("judges", ())),
        description="phrases that give away a machine, the prompt, or the other side of the desk, in any case; "
        "they stand in for the built-in ones of `language`",
    )
    banned_words: tuple[Phrase, ...] = Field(
        (), description="words or phrases of your own that no row may hold, besides `banned`: whole words, in any case"
    )
    allow_cut: bool = Field(False, description="keep texts that ended at the token limit")
    max_repetition: float = Field(0.35, ge=0, le=1, description="largest share of word pairs that stood before")

    @model_validator(mode="after")
    def _some_length(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError("`min_words` is above `max_words`, so nothing would be kept")
        if self.max_chars is not None and self.min_chars > self.max_chars:
            raise ValueError("`min_chars` is above `max_chars`, so nothing would be kept")
        return self

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        phrases, banned = _folded(self.banned), _folded_words(self.banned_words)
        return Judgements([self._reason(sample, phrases, banned) for sample in batch])

    def _reason(self, sample: Sample, phrases: tuple[str, ...], banned: tuple[tuple[str, ...], ...]) -> str | None:
        for turn in sample.messages:
            if (not turn.content or turn.content.isspace()) and turn.role in ("user", "assistant"):
                return "empty"
        cut = sample.cut_off and not self.allow_cut
        names = (*phrases, *_code_names(sample)) if sample.label else phrases
        for text in texts_of(sample, self.judges):
            normal = normalised(text)
            found = words_of(normal)
            if reason := self._length(text, found):
                return reason
            if cut:
                return "cut_off"
            for phrase in names:  # a loop, since `any` of them takes twice as long
                if phrase in normal:
                    return "debris"
            if banned and holds(found, banned):
                return "banned_word"
            if self._repeats(found):
                return "repetition"
        return None

    def _repeats(self, found: list[str]) -> bool:
        pairs = len(found) - 1
        # a pair that stood before begins with a word that stood before: of these there are more, and they are counted
        # in a third of the time
        if pairs < 1 or (len(found) - len(set(found))) / pairs <= self.max_repetition:
            return False
        return 1 - len(set(pairwise(found))) / pairs > self.max_repetition

    def _length(self, text: str, found: list[str]) -> str | None:
        if not found:
            return "empty"
        chars = len(text.strip()) if self.min_chars or self.max_chars else 0
        if len(found) < self.min_words or chars < self.min_chars:
            return "too_short"
        if len(found) > self.max_words or (self.max_chars is not None and chars > self.max_chars):
            return "too_long"
        return None


def holds(found: Sequence[str], phrases: Sequence[tuple[str, ...]]) -> bool:
    """Whether the words of one of `phrases` stand in `found`, beside each other and in their order."""
    known = set(found)
    for phrase in phrases:
        if known.issuperset(phrase):
            size = len(phrase)
            if size == 1 or any(tuple(found[at : at + size]) == phrase for at in range(len(found) - size + 1)):
                return True
    return False


@lru_cache(maxsize=64)
def _folded(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(folded, phrases))


@lru_cache(maxsize=64)
def _folded_words(phrases: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(found for phrase in phrases if (found := tuple(words_of(normalised(phrase)))))


def _code_names(sample: Sample) -> list[str]:
    """The label, if it is written as nobody writes in a message: `move_house`, but not `refund`."""
    return [folded(sample.label)] if sample.label and "_" in sample.label else []


class Novelty(Setting):
    """Drop a text that says just what a seed says: cosine to the nearest seed above the limit.

    With `pool` also what says just what a sample of the loop's pool says.
    """

    kind: Literal["novelty"] = "novelty"
    max_cosine: Annotated[float, Field(gt=0, le=1)] | Auto = Field(
        0.95, description="largest cosine to a seed that is kept; auto: as the encoder's cosines tell"
    )
    false_positives: float = Field(
        0.05, gt=0, lt=1, description="with auto: share of rows of a meaning of their own that may be dropped"
    )
    pool: bool = Field(False, description="compare with the loop's pool as well")

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it cannot do without."""
        return ("seeds", "encoder", *threshold_needs(self.max_cosine), *pool_needs(self.pool))

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        rows = context.embed([sample.prompt for sample in batch])
        compared = len(context.seeds) + (len(context.pool) if self.pool else 0)
        limit = context.limit(self.max_cosine, compared, self.false_positives)
        judged = Judgements([None] * len(batch), figures=limit.figures, notes=limit.notes(self.kind), like=(like := {}))
        scores: dict[str, list[float | None]] = {}
        for reason, score, known in (
            ("not_novel", "nearest_seed", context.seed_rows),
            ("known_to_pool", "nearest_in_pool", context.pool if self.pool else ()),
        ):
            if known:
                cosines = rows @ context.vectors(known).T
                scores[score] = [float(cosine) for cosine in cosines.max(axis=1)]
                for row, place in enumerate(cosines.argmax(axis=1).tolist()):
                    if judged.reasons[row] is None and cosines[row, place] > limit.value:
                        judged.reasons[row], like[row] = reason, known[place].place
        return replace(judged, scores=scores)


class LabelAgreement(Setting):
    """Drop a sample whose text lies nearer to another label's seeds than to its own.

    Scores `label_margin`: cosine to the own label's centroid minus the best other one, in [-2, 2]. A sample without a
    label, as most tasks have them, or with one that no seed has, passes unscored.
    """

    needs: ClassVar[tuple[Need, ...]] = ("seeds", "encoder")

    kind: Literal["label_agreement"] = "label_agreement"
    margin: float = Field(0.05, ge=-2, le=2, description="smallest margin that is kept")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        labels = sorted({label for _, label in context.seeds if label})
        told = [row for row, sample in enumerate(batch) if sample.label in labels]
        if len(labels) < 2 or not told:
            return Judgements([None] * len(batch))
        seeds = context.embed([text for text, _ in context.seeds])
        own = np.array([labels.index(label) if label else -1 for _, label in context.seeds])
        centroids = np.stack([seeds[own == index].mean(axis=0) for index in range(len(labels))])
        centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
        cosines = context.embed([batch[row].prompt for row in told]) @ centroids.T
        found = label_margins(cosines, np.array([labels.index(batch[row].label or "") for row in told]))
        margins = dict(zip(told, map(float, found), strict=True))
        return Judgements(
            ["label_disagrees" if margins.get(row, self.margin) < self.margin else None for row in range(len(batch))],
            {"label_margin": [margins.get(row) for row in range(len(batch))]},
        )


def label_margins(cosines: Array, labels: NDArray[np.int64]) -> Array:
    """Own cosine minus the best other one; `cosines` (n, labels), `labels` (n,) indices. Returns (n,)."""
    rows = np.arange(len(cosines))
    own = cosines[rows, labels]
    others = cosines.copy()
    others[rows, labels] = -np.inf
    margins: Array = own - others.max(axis=1)
    return margins
