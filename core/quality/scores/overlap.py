"""BLEU and ROUGE-L of an answer against a reference that the row brings, or against the text that it was made from."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from ...evaluation.scorers import Score
from ...samples import Sample
from ...text import words
from ..context import FunnelContext, Judgements
from ..parts import ANSWER, texts_of
from .bounds import Bounded

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

PROMPT = "prompt"
Tokenizer = Literal["auto", "13a", "zh", "char", "none"]
LONGEST = 4096  # words of a text that ROUGE-L reads; its time grows with the square


class Against(Bounded):
    """Compares the last answer of a row, where it is no class, with another text of the row."""

    against: str = Field(
        "reference",
        min_length=1,
        description="the control or column that holds the reference; `prompt` is what the user said last, such as the "
        "text that was to be summarized",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a file that are read as controls."""
        return () if self.against == PROMPT else (self.against,)

    def pair(self, sample: Sample) -> "Pair | Score":
        """Answer and reference, or why there is none."""
        answer = next(texts_of(sample, ANSWER), "")
        reference = sample.prompt if self.against == PROMPT else sample.controls.get(self.against, "")
        if not answer.strip():
            return Score.unscored("no_answer")
        if not reference.strip():
            return Score.unscored("no_reference")
        return Pair(answer, reference)


class Pair(NamedTuple):
    """An answer and what it is compared with."""

    answer: str
    reference: str


class Bleu(Against):
    """Score an answer by the n-grams that it shares with a reference: `bleu`, 0 to 100 (Papineni et al. 2002).

    Of a single sentence, by sacrebleu, with exponential smoothing and the effective order (Post 2018), so that a short
    answer is not 0 for want of 4-grams. `tokenize: auto` is `13a`, for Chinese `zh`, which takes each character as a
    token, and `char` for Japanese, Thai and their like.
    """

    score: ClassVar[str] = "bleu"
    least: ClassVar[float] = 0.0
    most: ClassVar[float] = 100.0

    kind: Literal["bleu"] = "bleu"
    tokenize: Tokenizer = Field("auto", description="how sacrebleu finds tokens; `auto` looks at the reference")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return self.judged([self._score(self.pair(sample)) for sample in batch])

    def _score(self, pair: Pair | Score) -> Score:
        if isinstance(pair, Score):
            return pair
        metric = sentence_bleu(tokenizer_for(pair.reference) if self.tokenize == "auto" else self.tokenize)
        return Score(min(100.0, float(metric.sentence_score(pair.answer, [pair.reference]).score)))


class RougeL(Against):
    """Score an answer by the longest common subsequence of words with a reference: `rouge_l`, 0 to 1 (Lin 2004).

    Recall is its length by the words of the reference, precision by those of the answer, F1 their harmonic mean. Words
    are folded, not stemmed; a character of Chinese or Japanese is a word.
    """

    score: ClassVar[str] = "rouge_l"
    least: ClassVar[float] = 0.0
    most: ClassVar[float] = 1.0

    kind: Literal["rouge_l"] = "rouge_l"
    measure: Literal["f1", "precision", "recall"] = Field("f1", description="which of the three is the score")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        found, cut = [], 0
        for sample in batch:
            pair = self.pair(sample)
            if isinstance(pair, Score):
                found.append(pair)
                continue
            answer, reference = words(pair.answer), words(pair.reference)
            cut += max(len(answer), len(reference)) > LONGEST
            found.append(self._score(answer[:LONGEST], reference[:LONGEST]))
        return self.judged(found, remarks={f"were cut at {LONGEST} words": cut} if cut else None)

    def _score(self, answer: Sequence[str], reference: Sequence[str]) -> Score:
        if not reference:
            return Score.unscored("no_reference")  # of signs alone
        if not answer:
            return Score.unscored("no_answer")
        shared = common_subsequence(answer, reference)
        parts = {"precision": shared / len(answer), "recall": shared / len(reference)}
        parts["f1"] = 2 * shared / (len(answer) + len(reference))
        return Score(parts[self.measure])


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, in bits side by side: a whole row of the table in a few operations.

    Hyyrö, "Bit-parallel LCS-length computation revisited" (2004): a 0 in `row` is a place of `one` where the length
    grows.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & every
    return len(one) - row.bit_count()


def tokenizer_for(text: str) -> Tokenizer:
    """The tokenizer of sacrebleu that fits the script of `text`."""
    if any("\u3040" <= sign <= "\u30ff" or "\u0e00" <= sign <= "\u0eff" for sign in text):
        return "char"  # kana, Thai, Lao: sacrebleu has no light tokenizer for them
    return "zh" if any("\u3400" <= sign <= "\u9fff" for sign in text) else "13a"


@cache
def sentence_bleu(tokenizer: Tokenizer) -> "BLEU":
    """sacrebleu's BLEU of single sentences."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True, tokenize=tokenizer)
