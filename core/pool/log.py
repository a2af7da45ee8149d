"""The log of a pool: a line for each change, only ever added to. The last whole line names the present version."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ..errors import DataError
from ..settings import Setting
from ..workspace import explaining_disk_errors

Action = Literal["round", "exclude", "review", "undo"]


class Line(Setting):
    """One change of a pool: when, what, and from which version to which."""

    at: str = Field(description="time in UTC, ISO 8601")
    action: Action = Field(description="what was done")
    why: str = Field("", description="the reason in a few words")
    round: str = Field("", description="for a round: its id")
    drawn: str | None = Field(None, description="for a round: the version that it replayed from")
    before: str | None = Field(None, description="the version before; None: the empty pool")
    version: str | None = Field(None, description="the version after; the same where nothing changed")
    accepted: int = Field(description="samples that a round may be trained on, afterwards")
    marked: int = Field(description="samples of rounds that were not promoted, afterwards")
    excluded: int = Field(description="ids that stay out, afterwards")


def read_lines(path: Path) -> list[Line]:
    """Every whole line of the log, oldest first; a last one that a kill cut short does not count.

    Raises DataError for a line that is none, with its number.
    """
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(whole, 1):
        try:
            lines.append(Line.model_validate_json(text))
        except ValidationError:
            hint = "remove it, or put back a copy of the file"
            raise DataError(f"{path}:{number}: this line of the pool's log is damaged; {hint}") from None
    return lines


def append_line(path: Path, line: Line) -> None:
    """Add a line; whoever calls holds the pool's lock. Killed at any time, the log ends with the line before or this.

    What a kill cut short is overwritten, so that it never becomes the beginning of a line.
    """
    with explaining_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(line.model_dump_json().encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
