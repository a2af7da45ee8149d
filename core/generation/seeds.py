"""The user's own examples of a task, read from a file and checked row by row."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import DataError
from ..formats import read_labelled
from ..labelled import require_known
from ..rows import read_rows
from ..text import nearest
from .documents import Passage
from .example import Example
from .tasks import Classify, TaskSettings


def read_seeds(
    path: Path, task: TaskSettings, categories: Collection[str], passages: Mapping[str, Passage]
) -> list[Example]:
    """The examples of `path`, in the fields of `task`, with the line that each stands in.

    Raises DataError naming file and line: for a field that is missing or empty, a category or a passage that is not
    known, a conversation whose turns are out of order.
    """
    if isinstance(task, Classify):
        rows = read_labelled(path)
        require_known(rows, categories, path)
        return [
            Example(text=row.text, answer=row.label, label=row.label, category=row.label, line=row.line) for row in rows
        ]
    return [_read(row, f"{path}:{line}", line, task, categories, passages) for line, row in read_rows(path)]


def _read(
    row: Mapping[str, Any],
    where: str,
    line: int,
    task: TaskSettings,
    categories: Collection[str],
    passages: Mapping[str, Passage],
) -> Example:
    if "messages" in task.keys:
        _check_turns(row.get("messages"), where)
    else:
        for key in task.keys:
            value = row.get(key)
            if not isinstance(value, str) or not value.strip():
                raise DataError(f"{where}: `{key}` is missing or empty; a seed needs {', '.join(task.keys)} as text")
    try:
        example = task.example(row, str(row.get("category") or ""))
    except ValidationError as error:
        raise DataError(f"{where}: {error.errors()[0]['msg']}; mend the row") from None
    passage = str(row.get("passage") or "")
    if passage and passage not in passages:
        raise DataError(f"{where}: there is no passage `{passage}`; {nearest(passage, passages)}")
    category = example.category or (passages[passage].document if passage else "")
    if category and categories and category not in categories:
        raise DataError(f"{where}: unknown category `{category}`; {nearest(category, categories)}")
    return example.model_copy(update={"category": category, "passage": passage, "line": line})


def _check_turns(turns: Any, where: str) -> None:
    if not isinstance(turns, list) or len(turns) < 2 or len(turns) % 2:
        raise DataError(f"{where}: `messages` must be a list of turns, each of the user's followed by the assistant's")
    for number, turn in enumerate(turns):
        role = ("user", "assistant")[number % 2]
        if not isinstance(turn, dict) or turn.get("role") != role or not str(turn.get("content") or "").strip():
            raise DataError(f"{where}: turn {number + 1} must be said by the {role} and not be empty; mend the row")
