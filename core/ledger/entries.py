"""An entry of the ledger: one question that was corrected, what is right, how it is scored, and who says so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..digests import SHORT, digest_of
from ..errors import DataError
from ..evaluation.scorers import Item, Scorer
from ..evaluation.suites import Suite
from ..quality.known import Text
from ..settings import Setting
from ..text import normalised

ASKED = ("id", "prompt", "history", "passages", "slice", "group", "difficulty")
"""What of an item is the question, or where it is reported; all else tells what is right."""


class Origin(Setting):
    """Where a correction comes from."""

    kind: Literal["review", "round", "feedback"] = Field(
        description="review: people's review; round: a promoted round got it right; feedback: brought by a file"
    )
    by: str = Field("", description="who says so: reviewers, or whoever brought the file")
    round: str = Field("", description="id of the round, where one is concerned")
    suite: str = Field("", description="the suite that it was asked in, or is scored as")
    source: str = Field("", description="file and line, or sample")


class Entry(Setting):
    """One item of the ledger. Its id names the question and the kind of suite, not what is right."""

    item: Item = Field(description="question and right answer, as a suite has them; its id is that of the entry")
    scorer: Scorer = Field(description="how an answer is scored")
    prompt: Literal["task", "plain"] = Field("task", description="in the loop's prompt, or as it stands")
    max_tokens: int = Field(24, ge=1, le=4096, description="length of an answer at most")
    origin: Origin

    @classmethod
    def of(cls, item: Item, suite: Suite, origin: Origin) -> "Entry":
        """`item` as `suite` asks and scores it."""
        settings = suite.settings
        named = item.model_copy(update={"id": id_of(item, settings.scorer.kind, settings.prompt)})
        return cls(
            item=named, scorer=settings.scorer, prompt=settings.prompt, max_tokens=settings.max_tokens, origin=origin
        )

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def right(self) -> dict[str, Any]:
        """What is right, whatever the question."""
        return self.item.model_dump(mode="json", exclude=set(ASKED))

    @property
    def held_out(self) -> bool:
        """Whether it comes from a suite, and so must never be trained on; a correction of people may be."""
        return self.origin.kind == "round"

    @property
    def expected(self) -> str:
        """What a right reply is or holds, in a line."""
        item = self.item
        return item.label or " | ".join(item.answers or item.keywords) or item.pattern or ""


class Held(Setting):
    """An entry as the ledger has it at one time."""

    entry: Entry
    active: bool = Field(True, description="False: somebody has retired it")
    once_right: bool = Field(False, description="a champion got it right since it came in")
    since: str = Field("", description="when it came in, or was last replaced")


def id_of(item: Item, scorer: str, prompt: str) -> str:
    """Names a question and how it is asked; case, spacing and outer punctuation do not count."""
    before = [[turn.role, normalised(turn.content)] for turn in item.history]
    return digest_of([scorer, prompt, normalised(item.prompt), before, list(item.passages)])[:SHORT]


def refuse_unscorable(suite: Suite) -> None:
    """Raises DataError for a suite whose replies are drawn, or whose scorer needs more than a reply and its item.

    An item that is there for ever must be told right from wrong by itself: without a judge whose mind may change.
    """
    settings = suite.settings
    if not settings.tells_alone:
        drawn = f"draws its replies (`temperature: {settings.temperature:g}`)"
        judged = f"is scored by `{settings.scorer.kind}`, which needs more than a reply and its item"
        raise DataError(
            f"suite `{suite.name}` {drawn if settings.temperature else judged}; the ledger takes items of suites that "
            "do not"
        )


def is_right(entry: Entry, right_from: float) -> bool:
    """Whether the entry's own right answer is one by its scorer: else no model could ever be right.

    True where no whole answer is known, as of a pattern or keywords.
    """
    scorer: Any = entry.scorer
    whole = entry.item.label or (entry.item.answers[0] if entry.item.answers else None)
    if whole is None:
        return True
    score = scorer(whole, entry.item).value
    return score is not None and score >= right_from


def held_out_of(held: Sequence[Held], path: Path) -> list[Text]:
    """The questions that must stay held out, retired ones too: they came from suites, wherever these are now."""
    return [
        Text(one.entry.item.prompt, f"{path.name}, item {one.entry.id}", "ledger") for one in held if one.entry.held_out
    ]
