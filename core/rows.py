"""Rows: plain columns and values, streamed from and to five kinds of file.

.jsonl, .json (one array), .csv, .tsv and .parquet, told apart by the ending of the name. Each row comes with the place
it stands in, so that what is wrong is a DataError that names the file, the line (in .json and .parquet the row) and the
remedy.
"""

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from .digests import canonical_json
from .errors import DataError
from .samples import read_table, write_table
from .text import in_words
from .workspace import writing

Row = dict[str, Any]
Rows = Iterator[tuple[int, Row]]

T = TypeVar("T")


def read_rows(path: Path) -> Rows:
    """Stream the rows of a file, each with its line (.jsonl, .csv, .tsv) or row (.json, .parquet), from 1.

    Blank lines are skipped. Only .json is read whole.
    """
    return _readable(path, kind_of(path).read(path))


def write_rows(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    """Write `rows` in the kind of file that the ending of `path` names, whole or not at all.

    `schema` gives the columns and their order, and for parquet their types; JSON leaves out what is None.
    """
    write = kind_of(path).write
    with writing(path) as temporary:
        write(temporary, rows, schema)


@contextmanager
def naming(path: Path, line: int | None) -> Iterator[None]:
    """Put the file, and the line if there is one, before whatever a DataError from the block says."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}" if line is None else f"{path}:{line}: {error}") from None


def not_empty(path: Path, rows: Iterator[T]) -> Iterator[T]:
    """`rows`, at least one; DataError when there is none."""
    for first in rows:
        return chain([first], rows)
    raise DataError(f"{path}: the file has no rows; add some")


def kind_of(path: Path) -> "Kind":
    """How files with the ending of `path` are read and written. Raises DataError for one that is not known."""
    if path.suffix.lower() not in KINDS:
        raise DataError(f"{path}: the name must end in {', '.join(KINDS)}; rename or convert the file")
    return KINDS[path.suffix.lower()]


def _readable(path: Path, rows: Iterator[tuple[int, Any]]) -> Rows:
    try:
        for number, row in rows:
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}:{number}: expected a row {{…: …}}, found {in_words(row)}; mend it or remove it"
                )
            yield number, row
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check its name") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check what it is and its rights") from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # split at b"\n" only: str.splitlines would also split at U+2028 and others that stand inside JSON text
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode()
            except UnicodeDecodeError:
                raise DataError(f"{path}:{number}: this line is not UTF-8; save the file as UTF-8") from None
            if "\0" in text:
                raise DataError(f"{path}:{number}: this line has a NUL byte; remove it, or save the file as UTF-8")
            yield number, text


def _read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(path):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: this line is not JSON ({error}); mend it or remove it") from None
            yield number, row


def _read_json(path: Path) -> Iterator[tuple[int, Any]]:
    text = "".join(line for _, line in _lines(path))
    try:
        rows = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        hint = "name it .jsonl if each line is a row" if error.msg == "Extra data" else "mend it"
        raise DataError(f"{path}:{error.lineno}: this is not JSON ({error.msg}); {hint}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: this is not JSON that can be read ({error}); mend it") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected one list of rows, found {in_words(rows)}; put [ ] around the rows")
    yield from enumerate(rows, 1)


def _read_delimited(path: Path, delimiter: str) -> Rows:
    # strict, because a quote that never closes would otherwise swallow the rest of the file as one field
    reader = csv.reader((text for _, text in _lines(path)), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1  # where the row starts; a quoted field may run over several lines
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = "a quote opens and never closes" if "end of data" in str(error) else str(error)
            raise DataError(f"{path}:{line}: the row that starts here is not valid CSV ({why}); mend it") from None
        if len(fields) < 2 and not "".join(fields).strip():
            continue
        if not header:
            header = [name.strip() for name in fields]
            if len(set(header)) < len(header):
                raise DataError(f"{path}:{line}: a column name stands twice in the header; rename one of them")
        elif len(fields) != len(header):
            counts = f"this row has {len(fields)} fields, the header {len(header)}"
            raise DataError(f"{path}:{line}: {counts}; put a field that holds {delimiter!r} in quotes")
        else:
            yield line, dict(zip(header, fields, strict=True))


def _read_parquet(path: Path) -> Rows:
    return enumerate(read_table(path), 1)


def _json_row(row: Row) -> str:
    return json.dumps({name: value for name, value in row.items() if value is not None}, ensure_ascii=False)


def _write_jsonl(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_json_row(row) + "\n" for row in rows)


def _write_json(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("[")
        stream.writelines((",\n" if number else "\n") + _json_row(row) for number, row in enumerate(rows))
        stream.write("\n]\n")


def _write_delimited(path: Path, rows: Iterable[Row], schema: pa.Schema, delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(schema.names)
        writer.writerows([field_of(row.get(column)) for column in schema.names] for row in rows)


def field_of(value: Any) -> str:
    """`value` as a field of CSV. Raises DataError for what no reader would take back."""
    field = "" if value is None else value if isinstance(value, str) else canonical_json(value)
    if "\0" in field or len(field) > csv.field_size_limit():
        raise DataError("a text has a NUL character or is too long for a field of CSV; write a .jsonl file instead")
    return field


def _write_parquet(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    write_table(path, schema, rows)


class Kind(NamedTuple):
    """How one kind of file is read and written."""

    read: Callable[[Path], Iterator[tuple[int, Any]]]
    write: Callable[[Path, Iterable[Row], pa.Schema], None]


KINDS = {
    ".jsonl": Kind(_read_jsonl, _write_jsonl),
    ".json": Kind(_read_json, _write_json),
    ".csv": Kind(partial(_read_delimited, delimiter=","), partial(_write_delimited, delimiter=",")),
    ".tsv": Kind(partial(_read_delimited, delimiter="\t"), partial(_write_delimited, delimiter="\t")),
    ".parquet": Kind(_read_parquet, _write_parquet),
}
