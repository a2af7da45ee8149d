"""What every scorer looks at and gives: an item of a suite, a reply to it, and what that is worth."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from ...errors import DataError
from ...samples import Message
from ...settings import Setting
from ..scores import LARGEST
from .spelling import bare

Stack = Literal["serving engine", "training stack"]
"""Where the figures of a suite come from: replies from what serves, log-likelihoods from what trains."""

Need = Literal["models", "review", "rival"]
"""What a scorer cannot do without: local models, judges or verifiers, the replies of the model to beat."""

LATER = ("choices", "choice", "tests", "difficulty", "columns")
"""Fields that came after suites had digests: where they are unset they are not named, so that these stay the same."""


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
    choices: tuple[str, ...] = Field((), description="the answers to choose from, for `multiple_choice`")
    choice: int | None = Field(None, ge=0, description="which of the choices is right, from 0")
    tests: str = Field("", description="Python that a right solution passes, for `code_tests`")
    difficulty: str | None = Field(None, min_length=1, description="how hard it is, such as 1 to 5")
    columns: dict[str, Any] = Field({}, description="the other columns of the row, for `callable`")

    @property
    def cluster(self) -> str:
        """The unit that intervals resample: the group, or the item alone."""
        return self.id if self.group is None else self.group

    @property
    def identity(self) -> dict[str, Any]:
        """What of the item a suite's digest is made from."""
        told = self.model_dump(mode="json")
        return {name: value for name, value in told.items() if name not in LATER or value not in (None, "", [], {})}

    @field_validator("label")
    @classmethod
    def _label_says_something(cls, label: str | None) -> str | None:
        if label is not None and not bare(label):
            raise ValueError("an empty reply would be right")
        return label

    @field_validator("answers", "keywords", "choices")
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

    @model_validator(mode="after")
    def _choice_is_there(self) -> "Item":
        if self.choice is not None and self.choice >= len(self.choices):
            raise ValueError(f"there is no choice {self.choice} among {len(self.choices)}, counted from 0")
        return self


@dataclass(frozen=True, slots=True)
class Score:
    """What a reply is worth; `value` is None when nobody can say, and `reason` tells why.

    `confidence` is the probability that the model gave to the answer that it chose, where it is known.
    """

    value: float | None
    reason: str = ""
    confidence: float | None = None

    @property
    def scored(self) -> bool:
        return self.value is not None

    @classmethod
    def unscored(cls, reason: str) -> "Score":
        return cls(None, reason)


class Scoring(Setting):
    """What scorers have in common, unless they say otherwise."""

    version: ClassVar[int] = 1
    fields: ClassVar[tuple[str, ...]] = ()
    """An item must have one of these."""
    needs: ClassVar[tuple[Need, ...]] = ()
    """What has to be opened for it."""
    measured_by: ClassVar[Stack] = "serving engine"
    bounded: ClassVar[bool] = True
    """Whether its scores lie in [0, 1]."""

    def check(self, item: Item) -> None:
        """Raise DataError for an item that it cannot score."""
        if self.fields:
            required(item, self.named, *self.fields)

    def ready(self, folder: Path) -> None:
        """Raise ConfigError where something that it needs is not there; `folder` is that of the loop."""

    def files(self, folder: Path) -> tuple[Path, ...]:
        """The files that its scores depend on."""
        return ()

    @property
    def named(self) -> str:
        """Its kind."""
        return str(type(self).model_fields["kind"].default)


class Answer(NamedTuple):
    """An item, what was asked for it, and the reply."""

    item: Item
    messages: tuple[Message, ...]
    reply: str


def required(item: Item, kind: str, *fields: str) -> None:
    """Raise DataError unless the item has one of `fields`, which the scorer `kind` needs."""
    if any(getattr(item, name) not in (None, (), "") for name in fields):
        return
    if len(fields) == 1:
        what = f"no `{fields[0]}`, which the scorer `{kind}` needs; add {_it(fields[0])}"
        raise DataError(f"suite item `{item.id}` has {what}")
    listed = " nor ".join(f"`{name}`" for name in fields)
    raise DataError(f"suite item `{item.id}` has neither {listed}, one of which the scorer `{kind}` needs; add one")


def finite(value: float) -> Score:
    """`value` as a score; unscored where it is NaN, infinite, or beyond what the gate can sum."""
    number = float(value)
    return Score(number) if abs(number) <= LARGEST else Score.unscored("not_finite")


def best(scores: Sequence[Score]) -> Score:
    """The highest of several scores of one reply, at least one; unscored where none is scored."""
    known = [score for score in scores if score.value is not None]
    return max(known, key=lambda score: score.value or 0.0) if known else scores[0]


def _it(field: str) -> str:
    return "some" if field.endswith("s") and field != "tests" else "one" if field == "label" else "it"
