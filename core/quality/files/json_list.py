"""The elements of one JSON array as texts, read as a stream; one that is no JSON does not take the rest with it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import DataError

CHUNK = 1 << 20  # characters
LONGEST = 1 << 26  # characters of one element, beyond which its end is not looked for
LONGEST_WORD = 16  # characters of a number or a name that the end of a text may have cut
DECODER, SPACES = json.JSONDecoder(), re.compile(r"[ \t\r\n]*")


class JsonList:
    """The texts of the elements of one JSON array, without reading it whole."""

    def __init__(self, path: Path, chunk: int = CHUNK) -> None:
        self._path = path
        self._chunk = chunk
        self._text, self._at, self._ended = "", 0, False
        self._indent: str | None = None  # what stands before the next element in its line, if that is only space

    def __iter__(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as self._stream:
            if (sign := self._next_sign()) != "[":
                if sign:
                    hint = "put [ ] around the rows, or name the file .jsonl if each line is one"
                    raise DataError(f"{self._path}: expected one list of rows; {hint}")
                return
            self._at += 1
            while (sign := self._next_sign()) not in ("", "]"):
                if sign == ",":
                    self._at += 1
                else:
                    yield self._element()
            self._at += 1
            if self._next_sign():
                yield self._up_to(self._end_of_file())  # rows of another list, or what else stands behind this one

    def _next_sign(self) -> str:
        """The next sign that is no space, or nothing at the end of the file."""
        spaces = ""
        while True:
            found = SPACES.match(self._text, self._at)
            assert found is not None  # no space is a match too
            self._at, spaces = found.end(), spaces + found[0]
            if self._at < len(self._text) or not self._more():
                break
        self._indent = spaces.rpartition("\n")[2] if "\n" in spaces else self._indent if not spaces else None
        return self._text[self._at : self._at + 1]

    def _element(self) -> str:
        while True:
            try:
                end = DECODER.raw_decode(self._text, self._at)[1]
            except (ValueError, RecursionError) as error:
                if not _may_be_cut(error, len(self._text)) or self._is_long() or not self._more():
                    return self._corrupt()
            else:
                if end < len(self._text) or not self._more():  # else 12 may be the beginning of 123
                    return self._up_to(end)

    def _corrupt(self) -> str:
        """An element that is no JSON ends before the next line that begins as it does; else all that follows is it."""
        start = f"\n{self._indent}{self._text[self._at]}" if self._indent is not None else None
        while start is not None:
            if (end := self._text.find(start, self._at + 1)) >= 0:
                return self._up_to(end).rstrip(", \t\r\n")
            if self._is_long() or not self._more():
                break
        return self._up_to(self._end_of_file())

    def _end_of_file(self) -> int:
        """The end of what is left to read, of which little is kept."""
        while not self._is_long() and self._more():
            pass
        end = len(self._text)
        while self._stream.read(self._chunk):
            pass
        self._ended = True
        return end

    def _up_to(self, end: int) -> str:
        start, self._at = self._at, end
        return self._text[start:end]

    def _is_long(self) -> bool:
        return len(self._text) - self._at > LONGEST

    def _more(self) -> bool:
        """Read on; whether there was anything."""
        if self._ended:
            return False
        left = self._text[self._at :]
        new = self._stream.read(max(self._chunk, len(left)))  # twice as much each time, or a long row costs its square
        self._text, self._at, self._ended = left + new, 0, not new
        return bool(new)


def _may_be_cut(error: Exception, length: int) -> bool:
    """Whether an error of the decoder could come from where the text ends."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated") or error.pos + LONGEST_WORD >= length
