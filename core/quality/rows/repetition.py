"""Texts that say the same over and over, by the measures of MassiveText, made to fit short texts.

Rae et al. 2021, Scaling Language Models: Methods, Analysis & Insights from Training Gopher, table A1: shares of
duplicate lines, of the most frequent 2- to 4-gram, and of what lies in repeated 5- to 10-grams.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ...text import normalised, words_of
from ..context import FunnelContext, Judgements
from ..parts import SAID, Part, texts_of

TOP_GRAMS = (2, 3, 4)
LONG_GRAM = 5  # what lies in a repeated 10-gram lies in a repeated 5-gram too
FEWEST_WORDS = 10  # in a shorter text a word or two that come again are no sign of anything
SHORT = 50  # the shortest document of MassiveText; below it twice the share of n-grams is no sign either
RUN = re.compile(r"([^\W\d_]|[!?！？。，,])\1*")


class Repetition(Setting):
    """Drop a text dominated by one word, by one n-gram, by repeated lines or stretches, or by a run of one sign.

    Scores `repetition`: the largest share measured, of words, characters or lines. In texts under ten words only runs
    and lines count, and in those under fifty n-grams may have twice their share. A line of fewer than three words,
    such as a closing bracket, is no duplicate of another.
    """

    kind: Literal["repetition"] = "repetition"
    judges: tuple[Part, ...] = Field(SAID, min_length=1, description="which messages are judged")
    max_lines: float = Field(0.3, ge=0, le=1, description="largest share of lines that stood before")
    max_word: float = Field(0.3, ge=0, le=1, description="largest share of words that are the same one")
    max_top_ngram: float = Field(
        0.2, ge=0, le=1, description="largest share of characters in the most frequent 2-, 3- or 4-gram that repeats"
    )
    max_repeated: float = Field(
        0.3, ge=0, le=1, description="largest share of characters in 5-grams that stand more than once"
    )
    max_run: int = Field(10, ge=2, le=1000, description="longest run of one letter or mark")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        reasons: list[str | None] = []
        scores = []
        for sample in batch:
            found = [self._judged(text) for text in texts_of(sample, self.judges)]
            reasons.append(next((reason for reason, _ in found if reason), None))
            scores.append(max((share for _, share in found), default=0.0))
        return Judgements(reasons, {"repetition": scores})

    def _judged(self, text: str) -> tuple[str | None, float]:
        if longest_run(text) > self.max_run:
            return "repeated_signs", 1.0
        lines = repeated_lines(text) if "\n" in text else 0.0
        found = words_of(normalised(text))
        if len(found) < FEWEST_WORDS:
            return ("repeated_lines" if lines > self.max_lines else None), lines
        word = Counter(found).most_common(1)[0][1] / len(found)
        top, repeated = ngram_shares(found)
        room = 2 if len(found) < SHORT else 1
        measured = (
            ("repeated_lines", lines, self.max_lines),
            ("repeated_word", word, self.max_word),
            ("repeated_ngram", top, self.max_top_ngram * room),
            ("repeated_ngram", repeated, self.max_repeated * room),
        )
        reason = next((name for name, share, most in measured if share > most), None)
        return reason, max(share for _, share, _ in measured)


def longest_run(text: str) -> int:
    """Length of the longest run of one letter, or of one of the marks that people repeat."""
    if not any(map(str.__eq__, text, text[1:])):
        return min(len(text), 1)
    return max((match.end() - match.start() for match in RUN.finditer(text)), default=0)


def repeated_lines(text: str) -> float:
    """Share of the lines of three words or more that stood before."""
    lines = [line for line in map(normalised, text.split("\n")) if line and len(words_of(line)) >= 3]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def ngram_shares(found: Sequence[str]) -> tuple[float, float]:
    """Share of the characters in the most frequent 2- to 4-gram, and in 5-grams that repeat; 0 where none does."""
    pairs = list(pairwise(found))
    if len(set(pairs)) == len(pairs):  # then no longer one stands twice either
        return 0.0, 0.0
    signs = sum(map(len, found))
    top = 0.0
    for size in TOP_GRAMS:
        grams = Counter(zip(*(found[start:] for start in range(size)), strict=False))
        most = max(grams.values())
        if most < 2:
            return top, 0.0
        length = max(sum(map(len, gram)) for gram, count in grams.items() if count == most)
        top = max(top, min(1.0, most * length / signs))
    return top, _repeated(found, signs)


def _repeated(found: Sequence[str], signs: int) -> float:
    grams = list(zip(*(found[start:] for start in range(LONG_GRAM)), strict=False))
    counts = Counter(grams)
    inside = bytearray(len(found))
    for place, gram in enumerate(grams):
        if counts[gram] > 1:
            inside[place : place + LONG_GRAM] = b"\1" * LONG_GRAM
    return sum(len(word) for word, within in zip(found, inside, strict=True) if within) / signs
