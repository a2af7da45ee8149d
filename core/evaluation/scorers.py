"""What one reply is worth: a scorer is its settings, called with the reply and the item it answers."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from ..errors import DataError
from ..samples import Message
from ..settings import Setting
from ..text import words


class Item(Setting):
    """One fixed question of a suite, and what a right answer looks like."""

    id: str = Field(min_length=1, description="name of the item, unique in its suite")
    prompt: str = Field(min_length=1, description="what the model is asked")
    label: str | None = Field(None, description="the one right answer, for `exact_label`")
    answers: tuple[str, ...] = Field((), description="right answers, any of which may stand in the reply")
    pattern: str | None = Field(None, min_length=1, description="regular expression that a right reply holds")
    keywords: tuple[str, ...] = Field((), description="words and phrases that a right reply holds, for `keywords`")
    history: tuple[Message, ...] = Field((), description="the turns of the conversation before the prompt")
    passages: tuple[str, ...] = Field((), description="ids of the passages that the prompt is asked about")
    slice: str | None = Field(None, description="part of the suite the item is reported under")
    group: str | None = Field(None, description="source the item stems from; items of one source vary together")

    @property
    def cluster(self) -> str:
        """The unit that intervals resample: the group, or the item alone."""
        return self.id if self.group is None else self.group

    @field_validator("label")
    @classmethod
    def _label_says_something(cls, label: str | None) -> str | None:
        if label is not None and not _bare(label):
            raise ValueError("an empty reply would be right")
        return label

    @field_validator("answers", "keywords")
    @classmethod
    def _answers_say_something(cls, answers: tuple[str, ...]) -> tuple[str, ...]:
        if not all(answer.strip() for answer in answers):
            raise ValueError("an empty answer would stand in every reply")
        return answers

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return pattern


@dataclass(frozen=True, slots=True)
class Score:
    """What a reply is worth; `value` is None when nobody can say, and `reason` tells why."""

    value: float | None
    reason: str = ""

    @property
    def scored(self) -> bool:
        return self.value is not None

    @classmethod
    def unscored(cls, reason: str) -> "Score":
        return cls(None, reason)


class ExactLabel(Setting):
    """1.0 when the reply is the item's label, else 0.0.

    Case, surrounding space, one pair of quotes or backticks and one full stop do not count.
    Raises DataError when the item has no label.
    """

    kind: Literal["exact_label"] = Field("exact_label", description="the reply is the label and nothing else")
    version: ClassVar[int] = 1

    def __call__(self, reply: str, item: Item) -> Score:
        if item.label is None:
            raise DataError(f"suite item `{item.id}` has no `label`, which the scorer `exact_label` needs; add one")
        return Score(1.0 if _bare(reply) == _bare(item.label) else 0.0)


class Matches(Setting):
    """1.0 when one of the item's answers stands in the reply as whole words, or its pattern is found, else 0.0.

    Answers ignore case and kinds of space; a number stands for itself, so that 3.14 holds neither 3 nor 14 and
    -5 is not 5. Scripts written without spaces (Chinese, Japanese, Thai …) match anywhere. The pattern is
    searched in the reply as it is. Raises DataError when the item has neither.
    """

    kind: Literal["matches"] = Field("matches", description="an answer or the pattern stands somewhere in the reply")
    version: ClassVar[int] = 1

    def __call__(self, reply: str, item: Item) -> Score:
        if not item.answers and item.pattern is None:
            raise DataError(
                f"suite item `{item.id}` has neither `answers` nor a `pattern`, one of which the scorer `matches` needs"
            )
        text = _spaced(reply)
        found = any(_stands_in(_spaced(answer), text) for answer in item.answers)
        if not found and item.pattern is not None:
            found = re.search(item.pattern, reply) is not None
        return Score(1.0 if found else 0.0)


class AnswerF1(Setting):
    """Overlap of the reply with the nearest right answer, in [0, 1]: F1 over words, as SQuAD scores it.

    Case, punctuation and English articles do not count (Rajpurkar et al. 2016); a script without spaces is compared
    character by character. Raises DataError when the item has no answers.
    """

    kind: Literal["answer_f1"] = Field("answer_f1", description="share of words that reply and answer have in common")
    version: ClassVar[int] = 1

    def __call__(self, reply: str, item: Item) -> Score:
        if not item.answers:
            raise DataError(f"suite item `{item.id}` has no `answers`, which the scorer `answer_f1` needs; add some")
        return Score(max(_f1(_said(reply), _said(answer)) for answer in item.answers))


class Keywords(Setting):
    """Share of the item's keywords that stand in the reply, in [0, 1], as `matches` finds them.

    Raises DataError when the item has no keywords.
    """

    kind: Literal["keywords"] = Field("keywords", description="share of the keywords that the reply holds")
    version: ClassVar[int] = 1

    def __call__(self, reply: str, item: Item) -> Score:
        if not item.keywords:
            raise DataError(f"suite item `{item.id}` has no `keywords`, which the scorer `keywords` needs; add some")
        text = _spaced(reply)
        return Score(sum(_stands_in(_spaced(word), text) for word in item.keywords) / len(item.keywords))


Scorer = Annotated[ExactLabel | Matches | AnswerF1 | Keywords, Field(discriminator="kind")]

ARTICLES = {"a", "an", "the"}

STOPS = (".", "。", "．")
QUOTES = ('""', "''", "``", "“”", "‘’", "«»", "「」", "『』")
# scripts whose words touch each other or carry attached particles, where a word boundary means nothing
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # 々 〆 〇
    (0x3040, 0x318F),  # kana, bopomofo, Hangul compatibility jamo
    (0x31F0, 0x31FF),  # small katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7AF),  # Hangul syllables
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width katakana
    (0x20000, 0x3FFFF),
)


def _said(text: str) -> list[str]:
    return [word for word in words(text) if word not in ARTICLES]


def _f1(reply: list[str], answer: list[str]) -> float:
    if not reply or not answer:
        return float(reply == answer)
    shared = sum((Counter(reply) & Counter(answer)).values())
    return 2 * shared / (len(reply) + len(answer))


def _folded(text: str) -> str:
    # an accent may be one character or two; a match must not hang on which
    return unicodedata.normalize("NFC", text.casefold())


def _spaced(text: str) -> str:
    return " ".join(_folded(text).split())


def _bare(text: str) -> str:
    text = _folded(text).strip()
    stopped = text.endswith(STOPS)
    text = text[:-1].rstrip() if stopped else text
    if len(text) >= 2 and text[0] + text[-1] in QUOTES:
        text = text[1:-1].strip()
        if not stopped and text.endswith(STOPS):
            text = text[:-1].rstrip()
    return text


def _stands_in(answer: str, text: str) -> bool:
    start = text.find(answer)
    while start != -1:
        end = start + len(answer)
        if _ends_at(answer[0], text, start - 1, -1) and _ends_at(answer[-1], text, end, 1):
            return True
        start = text.find(answer, start + 1)
    return False


def _ends_at(edge: str, text: str, index: int, step: int) -> bool:
    """Whether a word whose outermost character is `edge` ends before `text[index]`, looking along `step`."""
    if _unspaced(edge):
        return True
    while 0 <= index < len(text) and text[index] == "_":  # Markdown's _emphasis_ is no part of a word
        index += step
    if not 0 <= index < len(text):
        return True
    neighbour, beyond = text[index], text[index + step] if 0 <= index + step < len(text) else ""
    if neighbour.isalnum() or unicodedata.category(neighbour).startswith("M"):
        return _unspaced(neighbour)
    if not edge.isdigit():
        return True
    decimal = neighbour in ".," and beyond.isdigit()
    sign = step < 0 and neighbour in "-−" and not (beyond.isalnum() or beyond in (")", "]"))
    return not (decimal or sign)


def _unspaced(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in UNSPACED)
