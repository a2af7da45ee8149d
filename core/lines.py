"""Files of JSON lines that are only ever added to; killed at any time, one holds every line that was whole."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from .errors import DataError
from .workspace import explaining_disk_errors

M = TypeVar("M", bound=BaseModel)


def read_lines(path: Path, kind: type[M], what: str) -> list[M]:
    """Every whole line, oldest first, none without a file; a last one that a kill cut short does not count.

    Raises DataError for a line that is none, with its number; `what` names the file, such as `the pool's log`.
    """
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(whole, 1):
        try:
            lines.append(kind.model_validate_json(text))
        except ValidationError:
            hint = "put back a copy of the file, or remove the line"
            raise DataError(f"{path}:{number}: this line of {what} is damaged; {hint}") from None
    return lines


def add_lines(path: Path, lines: Iterable[BaseModel]) -> None:
    """Add `lines`, which are on the disk when this returns; whoever calls holds the lock of the file.

    What a kill cut short before is overwritten, so that it never becomes the beginning of a line.
    """
    if not (text := b"".join(line.model_dump_json().encode() + b"\n" for line in lines)):
        return
    with explaining_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
