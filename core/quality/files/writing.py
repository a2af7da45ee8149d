"""The five kinds of file, written from raw rows as they stand and from rows made anew."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ...rows import Row, field_of
from .raw import ColumnRows, DelimitedRows, JsonRows, RawRows, exactly

ROWS_PER_GROUP = 8192
AS_TEXT = json.JSONEncoder(ensure_ascii=False, default=str)


class Sink(Protocol):
    """A file under way."""

    def put(self, raw: RawRows, rows: Sequence[int], anew: Mapping[int, Row], added: Mapping[int, Row]) -> None:
        """Write `rows` of a batch: those in `anew` as it says, the others as they stand, with the columns `added`."""
        ...


@contextmanager
def writing_rows(path: Path, schema: pa.Schema | None) -> Iterator[Sink]:
    """A sink that writes `path`, in the kind of file that its ending names.

    `schema` has the columns and, for parquet, their types; JSON needs none.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            columns = _ColumnSink(writer)
            yield columns
            columns.flush()
    elif kind in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield _DelimitedSink(stream, schema.names if schema is not None else (), "," if kind == ".csv" else "\t")
    else:
        with path.open("wb") as binary:
            opened, between, closed = (b"[\n", b",\n", b"\n]\n") if kind == ".json" else (b"", b"\n", b"\n")
            binary.write(opened)
            texts = _JsonSink(binary, between)
            yield texts
            binary.write(closed if texts.any else closed[1:])


class _JsonSink:
    def __init__(self, stream: IO[bytes], between: bytes) -> None:
        self._stream = stream
        self._between = between
        self.any = False

    def put(self, raw: RawRows, rows: Sequence[int], anew: Mapping[int, Row], added: Mapping[int, Row]) -> None:
        if isinstance(raw, JsonRows):
            texts = [
                json_text(anew[row] | added.get(row, {}))
                if row in anew
                else _in_one_line(raw.texts[row], added.get(row))
                for row in rows
            ]
        else:
            texts = [json_text(row) for row in _completed(raw, rows, anew, added)]
        if texts:
            self._stream.write((self._between if self.any else b"") + self._between.join(texts))
            self.any = True


class _DelimitedSink:
    def __init__(self, stream: IO[str], columns: Sequence[str], delimiter: str) -> None:
        self._columns = list(columns)
        self._writer = csv.writer(stream, delimiter=delimiter)
        self._writer.writerow(self._columns)

    def put(self, raw: RawRows, rows: Sequence[int], anew: Mapping[int, Row], added: Mapping[int, Row]) -> None:
        if isinstance(raw, DelimitedRows) and not anew and not added:
            self._writer.writerows(raw.fields[row] for row in rows)
            return
        for row in _completed(raw, rows, anew, added):
            self._writer.writerow([field_of(row.get(column)) for column in self._columns])


class _ColumnSink:
    """Batches are put together to row groups of a size that readers like."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._waiting: list[pa.RecordBatch] = []

    def put(self, raw: RawRows, rows: Sequence[int], anew: Mapping[int, Row], added: Mapping[int, Row]) -> None:
        schema = self._writer.schema
        if isinstance(raw, ColumnRows) and not anew and not added:
            batch = raw.batch.take(pa.array(rows, pa.int64())).replace_schema_metadata(schema.metadata)
        else:
            batch = pa.RecordBatch.from_pylist(list(_completed(raw, rows, anew, added)), schema=schema)
        self._waiting.append(batch)
        if sum(len(one) for one in self._waiting) >= ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if any(len(one) for one in self._waiting):
            table = pa.Table.from_batches(self._waiting, schema=self._writer.schema)
            self._writer.write_table(table, row_group_size=len(table))
        self._waiting.clear()


def json_text(row: Row) -> bytes:
    """`row` as one line of JSON; what JSON has no form for, such as a date, as text."""
    try:
        return AS_TEXT.encode(row).encode()
    except UnicodeEncodeError:  # half a character in a column that nobody read
        return json.dumps(row, default=str).encode()


def rows_of(raw: RawRows, rows: Sequence[int]) -> Iterator[Row]:
    """Rows that were read before, whole and exactly as they stand."""
    if isinstance(raw, JsonRows):
        yield from (exactly(raw.texts[row]) for row in rows)
    else:
        yield from (row for row in raw.rows(rows) if isinstance(row, dict))


def _completed(raw: RawRows, rows: Sequence[int], anew: Mapping[int, Row], added: Mapping[int, Row]) -> Iterator[Row]:
    """`anew`, and the rest as it stands; both with what is `added`."""
    rest = rows_of(raw, [row for row in rows if row not in anew])
    for row in rows:
        values = anew[row] if row in anew else next(rest)
        yield values | added[row] if row in added else values


def _in_one_line(text: bytes, added: Row | None) -> bytes:
    """A row's JSON as it stands where it can, with the columns `added` behind its own."""
    if b"\n" in text:
        return json_text(exactly(text) | (added or {}))
    if not added:
        return text
    if any(f'"{column}"'.encode() in text for column in added) or b"\\u" in text:  # it may have such a column
        return json_text(exactly(text) | added)
    return text[:-1].rstrip() + b", " + json_text(added)[1:]
