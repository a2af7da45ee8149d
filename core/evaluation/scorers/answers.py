"""Scorers of answers in words: found in the reply, equal to it, or overlapping with it."""

import re
from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from ...text import words
from .item import Item, Score, Scoring
from .spelling import bare, spaced, stands_in

ARTICLES = {"a", "an", "the"}


class Matches(Scoring):
    """1.0 when one of the item's answers stands in the reply as whole words, or its pattern is found, else 0.0.

    Answers ignore case and kinds of space; a number stands for itself, so that 3.14 holds neither 3 nor 14 and
    -5 is not 5. Scripts written without spaces (Chinese, Japanese, Thai …) match anywhere. The pattern is
    searched in the reply as it is. Raises DataError when the item has neither.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers", "pattern")

    kind: Literal["matches"] = Field("matches", description="an answer or the pattern stands somewhere in the reply")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        text = spaced(reply)
        found = any(stands_in(spaced(answer), text) for answer in item.answers)
        if not found and item.pattern is not None:
            found = re.search(item.pattern, reply) is not None
        return Score(1.0 if found else 0.0)


class AnswerEm(Scoring):
    """1.0 when the reply is one of the item's answers, else 0.0: the exact match of SQuAD (Rajpurkar et al. 2016).

    Case, punctuation, spacing and English articles do not count; nothing may stand beside the answer. Raises DataError
    when the item has no answers.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers",)

    kind: Literal["answer_em"] = Field("answer_em", description="the reply is an answer and nothing else")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        return Score(float(any(_same(reply, answer) for answer in item.answers)))


class AnswerF1(Scoring):
    """Overlap of the reply with the nearest right answer, in [0, 1]: F1 over words, as SQuAD scores it.

    Case, punctuation and English articles do not count (Rajpurkar et al. 2016); a script without spaces is compared
    character by character. Raises DataError when the item has no answers.
    """

    fields: ClassVar[tuple[str, ...]] = ("answers",)

    kind: Literal["answer_f1"] = Field("answer_f1", description="share of words that reply and answer have in common")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        return Score(max(_f1(_said(reply), _said(answer)) for answer in item.answers))


class Keywords(Scoring):
    """Share of the item's keywords that stand in the reply, in [0, 1], as `matches` finds them.

    Raises DataError when the item has no keywords.
    """

    fields: ClassVar[tuple[str, ...]] = ("keywords",)

    kind: Literal["keywords"] = Field("keywords", description="share of the keywords that the reply holds")

    def __call__(self, reply: str, item: Item) -> Score:
        self.check(item)
        text = spaced(reply)
        return Score(sum(stands_in(spaced(word), text) for word in item.keywords) / len(item.keywords))


def _said(text: str) -> list[str]:
    return [word for word in words(text) if word not in ARTICLES]


def _same(reply: str, answer: str) -> bool:
    said = _said(answer)
    # an answer of signs or articles alone is not given by saying nothing
    return said == _said(reply) if said else bare(reply) == bare(answer)


def _f1(reply: list[str], answer: list[str]) -> float:
    if not reply or not answer:
        return float(reply == answer)
    shared = sum((Counter(reply) & Counter(answer)).values())
    return 2 * shared / (len(reply) + len(answer))
