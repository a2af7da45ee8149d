"""The five kinds of file as batches of raw rows: streamed, and going on behind a row that is corrupt."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from ...errors import DataError
from ...rows import kind_of
from ...samples import read_batches
from ..passes import ROWS
from .delimited import read_delimited
from .json_list import JsonList
from .raw import ColumnRows, Corrupt, DelimitedRows, JsonRows, RawRows

T = TypeVar("T")


def read_raw(path: Path) -> Iterator[RawRows]:
    """Stream the rows of `path`, in batches of at most ROWS.

    Raises DataError for a file that is not there, and for one without a single row in its shape: no parquet, no header.
    """
    kind_of(path)
    try:
        yield from READERS[path.suffix.lower()](path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check its name") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check what it is and its rights") from None


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, ROWS)):
        yield batch


def _read_jsonl(path: Path) -> Iterator[RawRows]:
    for batch in _batched(_filled_lines(path)):
        places, texts = zip(*batch, strict=True)
        yield JsonRows(places, texts)


def _filled_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
            if text:
                yield number, text


def _read_json(path: Path) -> Iterator[RawRows]:
    start = 1
    for batch in _batched(JsonList(path)):
        yield JsonRows(range(start, start + len(batch)), [text.encode("utf-8", "surrogateescape") for text in batch])
        start += len(batch)


def _read_delimited(path: Path, delimiter: str) -> Iterator[RawRows]:
    with path.open("rb") as stream:
        header, rows = read_delimited(stream, delimiter, path)
        for batch in _batched(rows):
            raws = {at: row.raw for at, row in enumerate(batch) if isinstance(row.fields, Corrupt)}
            yield DelimitedRows([row.number for row in batch], header, [row.fields for row in batch], raws)


def _read_parquet(path: Path) -> Iterator[RawRows]:
    start = 1
    for batch in read_batches(path, ROWS):
        yield ColumnRows(start, batch)
        start += batch.num_rows


READERS: dict[str, Callable[[Path], Iterator[RawRows]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": partial(_read_delimited, delimiter=","),
    ".tsv": partial(_read_delimited, delimiter="\t"),
    ".parquet": _read_parquet,
}
