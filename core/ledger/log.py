"""The file of a ledger: a line for each change, only ever added to."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ..errors import DataError
from ..settings import Setting
from ..workspace import explaining_disk_errors
from .entries import Entry

Action = Literal["add", "replace", "retire", "restore", "learnt", "round"]


class Line(Setting):
    """One change of a ledger: when, what, who and why."""

    at: str = Field(description="time in UTC, ISO 8601")
    action: Action = Field(description="what was done; `learnt`: a champion got these right; `round`: one has ended")
    id: str = Field("", description="the entry that it is about")
    entry: Entry | None = Field(None, description="for add and replace: the entry as it is from now on")
    ids: tuple[str, ...] = Field((), description="for learnt: the entries")
    who: str = Field("", description="who did it")
    why: str = Field("", description="the reason, in a few words")
    round: str = Field("", description="for learnt and round: the id of the round")
    lines: int | None = Field(None, ge=0, description="for round: the lines that there were when it was opened")


class Read(Setting):
    """What a file holds: its whole lines, and whether a last one was cut short by a kill."""

    lines: tuple[Line, ...] = ()
    torn: bool = False


def read_log(path: Path) -> Read:
    """Every whole line, oldest first; what a kill cut short does not count, and is told by `torn`.

    Raises DataError for a line that is none, with its number.
    """
    if not path.exists():
        return Read()
    *whole, rest = path.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(whole, 1):
        try:
            lines.append(Line.model_validate_json(text))
        except ValidationError:
            hint = "put back a copy of the file; nothing was changed"
            raise DataError(f"{path}:{number}: this line of the ledger is damaged; {hint}") from None
    return Read(lines=tuple(lines), torn=bool(rest))


def append_to(path: Path, lines: Sequence[Line]) -> None:
    """Add `lines`; whoever calls holds the ledger's lock. Killed at any time, the file ends with a whole line or more.

    What a kill cut short before is overwritten, so that it never becomes the beginning of a line.
    """
    if not lines:
        return
    with explaining_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(b"".join(line.model_dump_json().encode() + b"\n" for line in lines))
            stream.flush()
            os.fsync(stream.fileno())
