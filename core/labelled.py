"""Labelled rows checked against each other, so that a mistake is told in the user's own files and lines."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from .errors import ConfigError, DataError, LeakError
from .formats import LabelledText
from .rows import read_rows
from .text import nearest, normalised


class Row(Protocol):
    """A text of the user's, the line that it stands in, and its label where the task has labels."""

    @property
    def line(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def label(self) -> str | None: ...


R = TypeVar("R", bound=Row)


def check_labels(labels: Collection[str], where: Path) -> None:
    """Raises ConfigError for labels that no prompt can list: fewer than two, empty, with a comma or a line break."""
    if len(labels) < 2:
        raise ConfigError(f"{where}: a classifier needs at least two labels, found {len(labels)}")
    if odd := [label for label in labels if not label.strip() or "\n" in label or "," in label]:
        raise ConfigError(f"{where}: the label {odd[0]!r} is empty or has a comma or a line break; rename it")


def require_known(rows: Iterable[Row], labels: Collection[str], path: Path) -> None:
    """Raises DataError for a row of `path` whose label is not one of `labels`, with the nearest of them."""
    for row in rows:
        if row.label not in labels:
            raise DataError(f"{path}:{row.line}: unknown label `{row.label}`; {nearest(str(row.label), labels)}")


def distinct(rows: Iterable[R], path: Path) -> list[R]:
    """`rows` without repeats of a text. Raises DataError for the same text under two labels."""
    seen: dict[str, R] = {}
    for row in rows:
        twin = seen.setdefault(normalised(row.text), row)
        if twin.label != row.label:
            raise DataError(
                f"{path}:{row.line}: the same text has the label `{twin.label}` in line {twin.line} and "
                f"`{row.label}` here; keep one of them"
            )
    return list(seen.values())


def read_prompts(path: Path) -> list[LabelledText]:
    """The prompts of a rehearsal file, as rows without a label. Raises DataError for a row without one."""
    rows = []
    for line, row in read_rows(path):
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise DataError(f"{path}:{line}: `prompt` is missing or empty; every row needs the question as text")
        rows.append(LabelledText(line, prompt, ""))
    return rows


def refuse_leaks(
    held_out: Iterable[tuple[int, str]], held_out_path: Path, trained_on: Iterable[Row], trained_path: Path
) -> None:
    """Raises LeakError when a held-out text, given with its line, is also trained on, but for case and spacing."""
    known = {normalised(row.text): row for row in trained_on}
    leaks = [(line, known[text]) for line, said in held_out if (text := normalised(said)) in known]
    if leaks:
        (line, row), others = leaks[0], len(leaks) - 1
        raise LeakError(
            f"{held_out_path}:{line}: this held-out row also stands in {trained_path}:{row.line}, which is trained on"
            + (f" (and so do {others} more)" if others else "")
            + "; keep each row in one of the files, then run the command again"
        )
