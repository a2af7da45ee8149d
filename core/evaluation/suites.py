"""Suites: fixed sets of questions, read with their line numbers and named by their content."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..digests import digest_of
from ..errors import DataError
from ..formats import read_labelled
from ..labelled import require_known
from ..rows import Row, naming, read_rows
from ..samples import Message
from ..settings import Setting
from .scorers import ExactLabel, Item, Scorer


class SuiteSettings(Setting):
    """One benchmark set of a loop."""

    role: Literal["target", "guard"] = Field(description="target: must get better; guard: must not get worse")
    path: str = Field(description="the rows, JSONL or CSV, relative to the loop")
    scorer: Scorer = Field(ExactLabel(), description="how one answer is scored")
    prompt: Literal["task", "plain"] = Field("task", description="task: in the loop's prompt; plain: as it stands")
    margin: float = Field(0.0, ge=0, lt=1, description="guard: the damage that is still tolerated, in score points")
    floor: float | None = Field(None, description="target: the least mean score of a candidate; unset: none")
    max_tokens: int = Field(24, ge=1, le=4096, description="length of an answer at most")

    @model_validator(mode="after")
    def _margin_fits_role(self) -> "SuiteSettings":
        if self.role == "guard" and self.margin == 0:
            raise ValueError("a guard needs a `margin` above 0, such as 0.1")
        if self.role == "target" and self.margin != 0:
            raise ValueError("a target has no `margin`; it must get better")
        if self.role == "guard" and self.floor is not None:
            raise ValueError("a guard has no `floor`; its `margin` says what it may lose")
        return self


@dataclass(frozen=True)
class Suite:
    """A suite that was read: its items, the line each stands in, and the digest of questions and keys."""

    name: str
    settings: SuiteSettings
    path: Path
    items: tuple[Item, ...]
    lines: tuple[int, ...]
    digest: str


def read_suite(name: str, settings: SuiteSettings, folder: Path, labels: tuple[str, ...]) -> Suite:
    """Read and check the rows of one suite. Raises DataError naming file and line."""
    path = folder / settings.path
    numbered = _labelled(path, labels) if isinstance(settings.scorer, ExactLabel) else _questions(path)
    seen: dict[str, int] = {}
    for line, item in numbered:
        if item.id in seen:
            raise DataError(f"{path}:{line}: the same row as line {seen[item.id]}; remove one of them")
        seen[item.id] = line
    digest = digest_of(
        {
            "items": [item.model_dump(mode="json") for _, item in numbered],
            "scorer": [settings.scorer.kind, settings.scorer.version],
            "prompt": settings.prompt,
            "max_tokens": settings.max_tokens,
        }
    )
    return Suite(name, settings, path, tuple(item for _, item in numbered), tuple(line for line, _ in numbered), digest)


def _labelled(path: Path, labels: tuple[str, ...]) -> list[tuple[int, Item]]:
    rows = read_labelled(path)
    require_known(rows, labels, path)
    numbered = []
    for row in rows:
        item = Item(id=digest_of(row.text)[:16], prompt=row.text, label=row.label, slice=row.label)
        numbered.append((row.line, item))
    return numbered


def _questions(path: Path) -> list[tuple[int, Item]]:
    numbered = []
    for line, row in read_rows(path):
        with naming(path, line):
            numbered.append((line, _question(row)))
    if not numbered:
        raise DataError(f"{path}: has no rows; a suite needs at least one")
    return numbered


def _question(row: Row) -> Item:
    """One item: `prompt` or `question`, or the `messages` of a conversation; and what tells a right reply."""
    history, prompt = _asked(row)
    answers, keywords, passages = (_texts(row, name) for name in ("answers", "keywords", "passages"))
    pattern, kind = row.get("pattern"), row.get("kind")
    if not answers and not pattern and not keywords:
        raise DataError("neither `answers` nor `pattern` nor `keywords`; give what a right reply contains")
    try:
        re.compile(pattern or "")
    except (re.error, TypeError) as error:
        raise DataError(f"`pattern` is not a regular expression ({error})") from None
    identity: list[object] = [prompt, list(answers), pattern or ""]
    if history or keywords or passages:
        identity += [[turn.model_dump() for turn in history], keywords, passages]
    return Item(
        id=digest_of(identity)[:16],
        prompt=prompt,
        answers=answers,
        pattern=pattern or None,
        keywords=keywords,
        history=history,
        passages=passages,
        slice=str(kind) if kind else None,
        group=str(row["group"]) if row.get("group") else None,
    )


def _asked(row: Row) -> tuple[tuple[Message, ...], str]:
    """The turns before, and what the user says last."""
    if turns := row.get("messages"):
        try:
            *history, last = (Message.model_validate(turn) for turn in turns)
        except (ValueError, TypeError):
            raise DataError("`messages` must be a list of turns with `role` and `content`; mend the row") from None
        if last.role != "user" or not last.content.strip():
            raise DataError("`messages` must end with what the user says, for the model to answer")
        return tuple(history), last.content
    prompt = row.get("prompt") or row.get("question")
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError("`prompt` is missing or empty; every row needs the question as text")
    return (), prompt


def _texts(row: Row, name: str) -> tuple[str, ...]:
    """A list of texts; one text, or JSON in a CSV cell, will do."""
    value = row.get(name)
    if isinstance(value, str):
        value = _answers_in(value)
    if value and not (isinstance(value, list) and all(isinstance(text, str) and text.strip() for text in value)):
        raise DataError(f"`{name}` must be a list of texts that are not empty")
    return tuple(value or ())


def _answers_in(cell: str) -> list[str]:
    """A list written as JSON in a CSV cell, or one answer as it stands."""
    try:
        parsed = json.loads(cell)
    except ValueError:
        return [cell] if cell.strip() else []
    return [str(answer) for answer in parsed] if isinstance(parsed, list) else [cell]
