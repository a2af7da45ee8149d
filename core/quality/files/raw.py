"""Rows of a file as they stand in it, batch by batch; one that cannot be read is in nobody's way.

Three shapes for five kinds of file: JSON texts (.jsonl, .json), fields (.csv, .tsv) and columns (.parquet). A row that
goes through unchanged is never taken apart: what is written is what was read.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from ...rows import Row
from ...text import in_words


class Corrupt(NamedTuple):
    """What stands in the place of a row that cannot be read."""

    why: str


@dataclass(frozen=True)
class JsonRows:
    """Rows as JSON texts; `places` are lines, in .json rows, from 1."""

    places: Sequence[int]
    texts: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, at: Iterable[int], columns: Collection[str] | None = None) -> Iterator[Row | Corrupt]:
        """The rows at these indices; a kind of file that can may leave out all but `columns`."""
        for index in at:
            text = self.texts[index]
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError:  # which refuses NaN and the like, too
                row = exactly(text)
            yield row if isinstance(row, dict | Corrupt) else Corrupt(f"expected a row {{…: …}}, found {in_words(row)}")

    def raw(self, index: int) -> str:
        """One row as it stands, with what is not UTF-8 written as `\\x..`."""
        return self.texts[index].decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class DelimitedRows:
    """Rows as fields under one header; `places` are the lines that they start in, from 1."""

    places: Sequence[int]
    header: Sequence[str]
    fields: Sequence[list[str] | Corrupt]
    raws: dict[int, str]
    """Of those that are corrupt: what stands there."""

    def __len__(self) -> int:
        return len(self.fields)

    def rows(self, at: Iterable[int], columns: Collection[str] | None = None) -> Iterator[Row | Corrupt]:
        """The rows at these indices."""
        for index in at:
            fields = self.fields[index]
            yield fields if isinstance(fields, Corrupt) else dict(zip(self.header, fields, strict=True))

    def raw(self, index: int) -> str:
        """One row as it stands, or its fields as JSON."""
        return self.raws.get(index) or json.dumps(self.fields[index], ensure_ascii=False)


@dataclass(frozen=True)
class ColumnRows:
    """Rows as columns; the first one's place is `start`, from 1."""

    start: int
    batch: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @property
    def places(self) -> Sequence[int]:
        return range(self.start, self.start + len(self))

    def rows(self, at: Iterable[int], columns: Collection[str] | None = None) -> Iterator[Row | Corrupt]:
        """The rows at these indices, with only `columns`."""
        wanted, part = list(at), self.batch
        if columns is not None:
            part = part.select([name for name in part.schema.names if name in columns])
        if len(wanted) < len(self):
            part = part.take(pa.array(wanted, pa.int64()))
        try:
            yield from part.to_pylist(maps_as_pydicts="strict")
        except (UnicodeDecodeError, KeyError):  # one of them has bytes that are no text, or a key twice
            yield from (_alone(part.slice(index, 1)) for index in range(len(wanted)))

    def raw(self, index: int) -> str:
        """One row as JSON, with what is not UTF-8 written as `\\x..`."""
        part = self.batch.slice(index, 1)
        return json.dumps({name: _shown(part.column(name)) for name in part.schema.names}, ensure_ascii=False)


RawRows = JsonRows | DelimitedRows | ColumnRows


def exactly(text: bytes) -> Any:
    """The JSON value of `text`, numbers of any length as they stand, or why there is none."""
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError:
        return Corrupt("this is not UTF-8")
    except (ValueError, RecursionError) as error:
        return Corrupt(f"this is not JSON ({error})")


def _alone(row: pa.RecordBatch) -> Row | Corrupt:
    try:
        (values,) = row.to_pylist(maps_as_pydicts="strict")
    except UnicodeDecodeError:
        return Corrupt("this is not UTF-8")
    except KeyError as error:
        return Corrupt(f"a key stands twice ({error})")
    found: Row = values
    return found


def _shown(column: pa.Array) -> Any:
    try:
        value = column[0].as_py()
    except UnicodeDecodeError:
        if pa.types.is_nested(column.type):
            return "(not UTF-8)"
        return column.cast(pa.binary())[0].as_py().decode("utf-8", "backslashreplace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)
