"""How much the texts of a batch differ from each other: distinct-n and self-BLEU of a sample of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nsmallest
from typing import Literal, Self

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...text import words
from ..context import FunnelContext, Judgements
from ..parts import Part, texts_of
from .overlap import sentence_bleu, tokenizer_for

KEPT_WORDS = 256  # of a text that is in the sample


@dataclass(frozen=True)
class Drawn:
    """A random sample of the texts seen so far: those whose hash is smallest, so that two samples make one.

    Which texts these are depends neither on the order of rows nor on how they fell into batches, and memory holds no
    more than `size` of them, however many rows there are.
    """

    size: int
    texts: tuple[tuple[int, str], ...]
    """(hash, text), ascending."""
    rows: int

    @classmethod
    def of(cls, texts: Sequence[tuple[str, str]], size: int, seed: int) -> Self:
        """A sample of (id, text)."""
        hashed = [(_hash(seed, id), text) for id, text in texts]
        return cls(size, tuple(nsmallest(size, hashed)), len(hashed))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.size, tuple(nsmallest(self.size, self.texts + other.texts)), self.rows + other.rows)


class Diversity(Setting):
    """Measure how much rows differ from each other; drops none, and says so where they are too much alike.

    Figures: `distinct_1` … `distinct_n`, different n-grams by all n-grams (Li et al. 2016), and `self_bleu`, the mean
    BLEU of a text against all others of the sample (Zhu et al. 2018), 0 to 100, lower is more diverse. Both hang on
    the number of texts, so that they are of a sample of fixed size, and to be compared only where `texts` is the same.
    """

    kind: Literal["diversity"] = "diversity"
    of: Part = Field("prompt", description="which messages are compared: prompt, answer or history")
    orders: int = Field(3, ge=1, le=6, description="the longest n-grams that are counted")
    sample: int = Field(500, ge=2, le=20_000, description="texts that distinct-n is measured on")
    self_bleu_sample: int = Field(
        60, ge=2, le=500, description="texts that self-BLEU is measured on; time grows squared"
    )
    min_distinct_2: float = Field(0.3, ge=0, le=1, description="a distinct-2 below it is told")
    max_self_bleu: float = Field(60.0, ge=0, le=100, description="a self-BLEU above it is told")
    seed: int = Field(0, ge=0, description="of the sample")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        texts = [
            (f"{sample.id}.{at}", text) for sample in batch for at, text in enumerate(texts_of(sample, (self.of,)))
        ]
        said = [(id, _shortened(text)) for id, text in texts if text.strip()]
        return Judgements([None] * len(batch), seen=Drawn.of(said, self.sample, self.seed))

    def summary(self, seen: Drawn) -> tuple[dict[str, float], tuple[str, ...]]:
        """Figures of the sample, and a sentence where they are low."""
        texts = [text for _, text in seen.texts]
        figures = {"texts": float(len(texts))}
        found = [words(text) for text in texts]
        for n in range(1, self.orders + 1):
            if (share := distinct(found, n)) is not None:
                figures[f"distinct_{n}"] = share
        if (alike := self_bleu(texts[: self.self_bleu_sample])) is not None:
            figures["self_bleu"] = alike
        notes = []
        if figures.get("distinct_2", 1.0) < self.min_distinct_2:
            notes.append(
                f"diversity: only {figures['distinct_2']:.0%} of the word pairs in {len(texts)} texts are different "
                f"(bar {self.min_distinct_2:.0%}); ask for more styles, topics or seeds."
            )
        if figures.get("self_bleu", 0.0) > self.max_self_bleu:
            notes.append(
                f"diversity: the texts resemble each other, self-BLEU {figures['self_bleu']:.0f} "
                f"(bar {self.max_self_bleu:g}); ask for more styles, topics or seeds."
            )
        return figures, tuple(notes)


def distinct(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Different n-grams by all n-grams of `texts`, each a list of words; None where there are none."""
    grams = [tuple(text[at : at + n]) for text in texts for at in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def self_bleu(texts: Sequence[str]) -> float | None:
    """Mean over `texts` of the BLEU of one against all others, 0 to 100; None below two of them."""
    if len(texts) < 2:
        return None
    metric = sentence_bleu(tokenizer_for("".join(texts)))
    scores = [
        float(metric.sentence_score(text, [*texts[:at], *texts[at + 1 :]]).score) for at, text in enumerate(texts)
    ]
    return min(100.0, sum(scores) / len(scores))


def _shortened(text: str) -> str:
    """The beginning of a text, so that a few long ones do not fill the memory."""
    return text if len(text) <= KEPT_WORDS else " ".join(text[: 16 * KEPT_WORDS].split()[:KEPT_WORDS])


def _hash(seed: int, id: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{id}".encode(), digest_size=8).digest())
