"""Scorers of likeness: words, n-grams and characters that a reply shares with the nearest right answer."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...text import words
from .item import Item, Score, Scoring

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


class Rouge(Scoring):
    """ROUGE against the nearest right answer, in [0, 1] (Lin 2004).

    `rouge1` and `rouge2` count common words and pairs of words, `rougeL` the longest common subsequence. Words are
    folded, not stemmed; a character of Chinese or Japanese is a word. At most 4,096 words of a text are read.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers",)

    kind: Literal["rouge"] = Field("rouge", description="words that reply and answer have in common, by ROUGE")
    of: Literal["rouge1", "rouge2", "rougeL"] = Field("rougeL", description="which ROUGE")
    measure: Literal["f1", "precision", "recall"] = Field("f1", description="which of the three is the score")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        from ...quality.scores.overlap import LONGEST

        said = words(reply)[:LONGEST]
        return Score(max(self._score(said, words(answer)[:LONGEST]) for answer in item.answers))

    def _score(self, reply: Sequence[str], answer: Sequence[str]) -> float:
        from ...quality.scores.overlap import common_subsequence

        if self.of == "rougeL":
            shared, given, wanted = common_subsequence(reply, answer), len(reply), len(answer)
        else:
            one, other = (_grams(text, int(self.of[-1])) for text in (reply, answer))
            shared, given, wanted = (one & other).total(), one.total(), other.total()
        parts = {"precision": (shared, given), "recall": (shared, wanted), "f1": (2 * shared, given + wanted)}
        over, under = parts[self.measure]
        return over / under if under else 0.0


class Chrf(Scoring):
    """chrF against the right answers, in [0, 1]: F-score of character n-grams (Popović 2015), by sacrebleu.

    `word_order: 2` is chrF++ (Popović 2017). Of several answers the nearest counts.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers",)

    kind: Literal["chrf"] = Field("chrf", description="characters that reply and answer have in common, by chrF")
    word_order: int = Field(0, ge=0, le=2, description="longest n-gram of words that counts too; 2 is chrF++")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        return Score(min(1.0, _chrf(self.word_order).sentence_score(reply, list(item.answers)).score / 100))


class SentenceBleu(Scoring):
    """BLEU of one reply against all right answers, in [0, 1]: sacrebleu's, with smoothing and the effective order."""

    fields: ClassVar[tuple[str, ...]] = ("answers",)

    kind: Literal["bleu"] = Field("bleu", description="n-grams that reply and answer have in common, by BLEU")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        from ...quality.scores.overlap import sentence_bleu, tokenizer_for

        metric = sentence_bleu(tokenizer_for(" ".join(item.answers)))
        return Score(min(1.0, float(metric.sentence_score(reply, list(item.answers)).score) / 100))


def _grams(text: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(text[start:] for start in range(order)), strict=False))


@cache
def _chrf(word_order: int) -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=word_order)
