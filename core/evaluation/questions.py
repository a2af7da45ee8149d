"""Rows of a suite as its items: what is asked, and what tells a right reply."""

import json
import re
from typing import Any

from ..digests import digest_of
from ..errors import DataError
from ..rows import Row
from ..samples import Message
from ..text import nearest
from .scorers import Item

KNOWN = {
    "prompt", "question", "messages", "answers", "answer", "keywords", "pattern", "passages", "choices", "tests",
    "kind", "slice", "group", "difficulty",
}  # fmt: skip


def question(row: Row, scorer: str) -> Item:
    """One item: `prompt` or `question`, or the `messages` of a conversation; and what tells a right reply.

    Raises DataError for what cannot be read; whether the scorer has what it needs is its own to say.
    """
    history, prompt = _asked(row)
    answers, keywords, passages, choices = (
        _texts(row, name) for name in ("answers", "keywords", "passages", "choices")
    )
    pattern, tests = row.get("pattern"), row.get("tests") or ""
    choice = _choice(row, choices) if choices else None
    if not answers and not choices and isinstance(row.get("answer"), str) and row["answer"].strip():
        answers = (row["answer"],)
    try:
        re.compile(pattern or "")
    except (re.error, TypeError) as error:
        raise DataError(f"`pattern` is not a regular expression ({error})") from None
    if not isinstance(tests, str):
        raise DataError("`tests` must be Python as one text")
    # what was named before other fields came keeps its name
    identity: list[object] = [prompt, list(answers), pattern or ""]
    if history or keywords or passages or choices or tests:
        identity += [[turn.model_dump() for turn in history], keywords, passages]
    if choices or tests:
        identity += [choices, choice, tests]
    return Item(
        id=digest_of(identity)[:16],
        prompt=prompt,
        answers=answers,
        pattern=pattern or None,
        keywords=keywords,
        history=history,
        passages=passages,
        choices=choices,
        choice=choice,
        tests=tests,
        columns={name: value for name, value in row.items() if name not in KNOWN} if scorer == "callable" else {},
        **part_of(row),
    )


def part_of(row: Row) -> dict[str, Any]:
    """What an item is reported under, and its source: those of `slice` (or `kind`), `group`, `difficulty` it has."""
    found: dict[str, Any] = {}
    if part := row.get("slice") or row.get("kind"):
        found["slice"] = str(part)
    if row.get("group"):
        found["group"] = str(row["group"])
    if row.get("difficulty") not in (None, ""):
        found["difficulty"] = str(row["difficulty"])
    return found


def _choice(row: Row, choices: tuple[str, ...]) -> int:
    """Which of the choices is right: `answer` is its text, or its number from 0."""
    answer = row.get("answer")
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if str(answer).isdecimal() and int(str(answer)) < len(choices):
        return int(str(answer))
    if answer in (None, ""):
        raise DataError("`answer` is missing; give the right one of `choices`, as its text or its number from 0")
    raise DataError(f"`answer` is {answer!r}, which is none of `choices`; {nearest(str(answer), choices)}")


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
