"""Rows of a file of fields under one header; one that is no CSV does not take the rest with it."""

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from ...samples import is_unicode
from .raw import Corrupt


class Line(NamedTuple):
    """One row: the line it starts in, its fields or why there are none, and what stands there."""

    number: int
    fields: list[str] | Corrupt
    raw: str


def read_delimited(lines: Iterable[bytes], delimiter: str, path: Path) -> tuple[list[str], Iterator[Line]]:
    """The header and the rows below it. Raises DataError, which names `path`, for a header that is none."""
    rows = _rows(_Lines(lines), delimiter)
    first = next(rows, Line(1, [], ""))
    if isinstance(first.fields, Corrupt):
        raise DataError(f"{path}:{first.number}: the header cannot be read: {first.fields.why}; mend it")
    header = [name.strip() for name in first.fields]
    if len(set(header)) < len(header):
        raise DataError(f"{path}:{first.number}: a column name stands twice in the header; rename one of them")
    return header, (row._replace(fields=_counted(row.fields, len(header), delimiter)) for row in rows)


class _Lines:
    """Lines that can be handed out again from the second one since `mark` on."""

    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = iter(stream)
        self._again: deque[bytes] = deque()
        self._since: list[bytes] = []
        self.number = 0  # of the line handed out last

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._stream)
        self.number += 1
        self._since.append(line)
        text = line.removeprefix(codecs.BOM_UTF8) if self.number == 1 else line
        return text.decode("utf-8", "surrogateescape")

    def mark(self) -> None:
        """Forget what was handed out."""
        self._since.clear()

    def since(self) -> str:
        """All that was handed out since the mark."""
        return b"".join(self._since).decode("utf-8", "backslashreplace").rstrip("\r\n")

    def back(self) -> None:
        """Hand out again what came after the first line since the mark."""
        self._again.extendleft(reversed(self._since[1:]))
        self.number -= len(self._since) - 1
        del self._since[1:]


def _rows(lines: _Lines, delimiter: str) -> Iterator[Line]:
    """All rows, the header too; a blank line is none."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.mark()
        number = lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # a quote that never closes has swallowed what follows: only its own line is lost
            lines.back()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            why = "a quote opens and never closes" if "end of data" in str(error) else str(error)
            yield Line(number, Corrupt(f"this is not valid CSV ({why})"), lines.since())
            continue
        if len(fields) > 1 or "".join(fields).strip():
            yield Line(number, _clean(fields), lines.since())


def _clean(fields: list[str]) -> list[str] | Corrupt:
    whole = "".join(fields)
    if "\0" in whole:
        return Corrupt("this has a NUL byte")
    return fields if is_unicode(whole) else Corrupt("this is not UTF-8")


def _counted(fields: list[str] | Corrupt, wanted: int, delimiter: str) -> list[str] | Corrupt:
    if isinstance(fields, Corrupt) or len(fields) == wanted:
        return fields
    hint = f"a field that holds {delimiter!r} must be in quotes"
    return Corrupt(f"this row has {len(fields)} fields, the header {wanted}; {hint}")
