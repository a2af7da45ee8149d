"""A file as the funnel reads it: batches of samples that know the row they came from, and can be read again."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from ...errors import DataError
from ...formats import ALLOWED, Layout, layout_of, read_turns
from ...rows import Row
from ...samples import Sample, has_sample_columns, is_unicode
from ..verdicts import Unreadable
from .raw import ColumnRows, Corrupt, DelimitedRows, RawRows
from .reading import read_raw

TASK = "filter"
READ_ALSO = ("controls", "scores")
COUNTED = re.compile(r"(^|[ _-])(id|index|idx|row|line|number|no)$", re.IGNORECASE)
"""Names of columns whose numbers say which row it is, and nothing about it."""


@dataclass(frozen=True)
class RowReader:
    """Reads rows of one file as samples. Without a layout they are whole samples already."""

    layout: Layout | None
    scored: tuple[str, ...]
    """Columns of numbers that count as scores."""
    columns: frozenset[str] | None = None
    """What it needs of a row; None is all of it."""
    controls: tuple[str, ...] = ()
    """Columns of text that count as controls."""

    def sample(self, row: Row, source: str) -> Sample:
        """Raises DataError for a row that is none."""
        if self.layout is None:
            return _whole(row)
        turns, label = read_turns(row, self.layout, filled=False)
        return Sample.of_turns(
            turns,
            task=TASK,
            label=label,
            origin="import",
            source=source,
            controls=self._controls(row) if self.controls or "controls" in row else {},
            scores=self._scores(row) if self.scored or "scores" in row else {},
        )

    def _controls(self, row: Row) -> dict[str, str]:
        return _texts(row.get("controls")) | _texts({name: row.get(name) for name in self.controls})

    def _scores(self, row: Row) -> dict[str, float]:
        return _numbers(row.get("scores")) | _numbers({name: row.get(name) for name in self.scored})


@dataclass(frozen=True)
class FileBatch:
    """Some rows of a file, as they stand and as samples."""

    name: str
    raw: RawRows
    reader: RowReader

    def __len__(self) -> int:
        return len(self.raw)

    def samples(self, rows: Sequence[int]) -> Iterator[Sample | Unreadable]:
        """Those of `rows`, ascending."""
        for at, row in zip(rows, self.raw.rows(rows, self.reader.columns), strict=True):
            if isinstance(row, Corrupt):
                yield Unreadable(row.why)
                continue
            try:
                sample = self.reader.sample(row, f"{self.name}:{self.raw.places[at]}")
            except DataError as error:
                yield Unreadable(str(error))
            else:
                yield sample


class SourceFile:
    """A file of rows, read as often as it is iterated; which columns say what is told from its first rows.

    `scored` are columns of numbers that filters ask for as scores, `controls` columns of text that they ask for as
    controls. Raises DataError for a file that cannot be read,
    has no rows, or has no columns that are known.
    """

    def __init__(self, path: Path, scored: Sequence[str] = (), controls: Sequence[str] = ()) -> None:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: this is no file; give a file, which can be read more than once")
        self.path = path
        self._scored, self._controls = tuple(scored), tuple(controls)
        self._layout, self._first = self._look()
        self._stamp = self._stamped()

    def __iter__(self) -> Iterator[FileBatch]:
        reader = RowReader(self._layout, self._scored, self._needed(), self._controls)
        for raw in read_raw(self.path):
            self._require_still()  # before it is taken for what stood there the last time
            yield FileBatch(self.path.name, raw, reader)
        self._require_still()

    @property
    def layout(self) -> Layout | None:
        """None of a file of whole samples."""
        return self._layout

    @property
    def rows(self) -> int:
        """How many rows there are: of parquet for sure, of others about."""
        if self.path.suffix.lower() == ".parquet":
            return int(pq.read_metadata(self.path).num_rows)
        seen = sum(len(self._first.raw(at)) for at in range(len(self._first)))
        return round(self._stamp[0] / max(1, seen) * len(self._first))

    def schema(self) -> pa.Schema:
        """The columns of the file; of JSON they are gathered from all rows, which takes a reading of the file.

        Raises DataError for JSON whose values in one column do not go together.
        """
        if self.path.suffix.lower() == ".parquet":
            return pq.read_schema(self.path)
        if isinstance(self._first, DelimitedRows):
            return pa.schema([(name, pa.string()) for name in self._first.header])
        found = pa.schema([])
        for batch in self:
            rows = [row for row in batch.raw.rows(range(len(batch))) if not isinstance(row, Corrupt)]
            found = _widened(self.path, found, rows)
        return found

    def number_columns(self) -> tuple[str, ...]:
        """Columns of numbers in most of the first rows, but for texts, labels, and numbers of rows."""
        if self._layout is None:
            return ()
        known = {*self._layout.columns.values(), *ALLOWED[self._layout.format], *READ_ALSO}
        rows = [row for row in self._first.rows(range(len(self._first))) if not isinstance(row, Corrupt)]
        found = Counter(name for row in rows for name in _numbers(row))
        return tuple(
            name
            for name in dict.fromkeys(name for row in rows for name in row)
            if name not in known and not COUNTED.search(name) and 2 * found[name] > len(rows)
        )

    def _needed(self) -> frozenset[str] | None:
        if self._layout is None or not isinstance(self._first, ColumnRows):
            return None
        other = {*ALLOWED[self._layout.format], *READ_ALSO, *self._scored}
        names = self._first.batch.schema.names
        return frozenset(
            {
                *self._layout.columns.values(),
                *self._controls,
                *(name for name in names if name.strip().casefold() in other),
            }
        )

    def _look(self) -> tuple[Layout | None, RawRows]:
        whole = self.path.suffix.lower() == ".parquet" and has_sample_columns(self.path)
        first: RawRows | None = None
        problem: DataError | None = None
        for raw in read_raw(self.path):
            first = first or raw
            if whole:
                return None, raw
            votes = Counter[tuple[Any, ...]]()  # a first row that lacks a column must not decide for all
            for at, row in enumerate(raw.rows(range(len(raw)))):
                try:
                    if isinstance(row, Corrupt):
                        raise DataError(row.why)
                    layout = layout_of(row, answered=False)
                except DataError as error:
                    problem = problem or DataError(f"{self.path}:{raw.places[at]}: {error}")
                else:
                    votes[layout.format, *layout.columns.items()] += 1
            if votes:
                format, *columns = votes.most_common(1)[0][0]
                return Layout(format, dict(columns)), raw
        raise problem or DataError(f"{self.path}: the file has no rows; add some")

    def _require_still(self) -> None:
        if self._stamped() != self._stamp:
            raise DataError(f"{self.path}: the file changed while it was read; run the command again when it is still")

    def _stamped(self) -> tuple[int, int]:
        stat = self.path.stat()
        return stat.st_size, stat.st_mtime_ns


def read_all(path: Path) -> list[Sample]:
    """Every row of a file that others are compared with. Raises DataError for one that cannot be read."""
    return list(read_each(SourceFile(path)))


def read_each(source: SourceFile) -> Iterator[Sample]:
    """The same one by one, so that memory does not grow with rows."""
    for batch in source:
        for at, sample in enumerate(batch.samples(range(len(batch)))):
            if isinstance(sample, Unreadable):
                raise DataError(f"{source.path}:{batch.raw.places[at]}: {sample.why}")
            yield sample


def _whole(row: Row) -> Sample:
    try:
        return Sample.model_validate(row)
    except ValidationError as error:
        problem = error.errors()[0]
        column = ".".join(str(part) for part in problem["loc"])
        raise DataError(f"`{column}`: {problem['msg']}") from None


def _texts(value: Any) -> dict[str, str]:
    items = value.items() if isinstance(value, dict) else ()
    return {str(name): text for name, text in items if isinstance(text, str) and is_unicode(text)}


def _numbers(value: Any) -> dict[str, float]:
    """The finite numbers among named values, also those that CSV writes as text."""
    found = {}
    for name, number in value.items() if isinstance(value, dict) else ():
        if isinstance(number, int | float | str) and not isinstance(number, bool):
            with suppress(ValueError, OverflowError):
                found[str(name)] = float(number)
    return {name: number for name, number in found.items() if math.isfinite(number)}


def table_schema(path: Path, rows: Sequence[Row]) -> pa.Schema:
    """The columns of `rows`, in the order of their first coming, with types that hold them all.

    Only parquet needs types; for other kinds of `path` all are text. Raises DataError for values that do not fit.
    """
    if path.suffix.lower() == ".parquet":
        return _widened(path, pa.schema([]), rows)
    return pa.schema([(name, pa.string()) for name in dict.fromkeys(name for row in rows for name in row)])


def _widened(path: Path, found: pa.Schema, rows: Sequence[Row]) -> pa.Schema:
    """`found`, so that it holds `rows` too."""
    for column in _columns(path, rows):
        try:
            found = pa.unify_schemas([found, column], promote_options="permissive")
        except pa.ArrowException as error:
            raise _mixed(path, error, column.names[0]) from None
    return found


def _columns(path: Path, rows: Sequence[Row]) -> Iterator[pa.Schema]:
    """The type of each column of `rows`, one by one."""
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            yield pa.schema([(name, pa.array([row.get(name) for row in rows]).type)])
        except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
            raise _mixed(path, error, name) from None


def _mixed(path: Path, error: Exception, name: str) -> DataError:
    why = str(error).splitlines()[0]
    return DataError(f"{path}: the column `{name}` fits no table ({why}); write a .jsonl file instead")
