"""Several files of rows as one: columns under common names, rows beside the nearest in time, one row of each id.

All rows are in memory together; a million short ones take about 1 GB.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..digests import canonical_json
from ..errors import ConfigError, DataError
from ..rows import Row, write_rows
from ..settings import Setting
from ..text import nearest
from ..workspace import scratch_in
from .files.raw import Corrupt
from .files.reading import read_raw
from .files.run import Beside
from .files.source import table_schema
from .files.writing import json_text
from .verdicts import DUPLICATE_OF

MILLISECONDS = 1e11  # a number above counts these since 1970, one below seconds: it would be the year 5138
SUPERSEDED = "superseded"


class Source(Setting):
    """How one file is read; it is named by its file name without the ending."""

    columns: dict[str, str] = Field({}, description="new name → the name in the file; others keep theirs")
    only: bool = Field(False, description="leave out columns that `columns` does not name")


class Join(Setting):
    """Rows of one source get the columns of the row of another one that is nearest in time, and of the same key.

    What is joined to others is not itself a row of the result.
    """

    rows: str = Field(description="the source whose rows stay")
    nearest: str = Field(description="the source whose columns come to them")
    by: tuple[str, ...] = Field((), description="columns that must be equal, such as a customer's id")
    within: float = Field(gt=0, allow_inf_nan=False, description="largest distance in time, in seconds")
    direction: Literal["nearest", "before", "after"] = Field(
        "nearest", description="whether it may lie before, after, or both"
    )


class Unique(Setting):
    """Of rows with one id one is kept."""

    by: tuple[str, ...] = Field(min_length=1, description="columns that are the id; a row without one of them stays")
    keep: Literal["latest", "earliest"] = Field("latest", description="which one by time; of equal ones the last row")


class Merge(Setting):
    """What to make of several files."""

    sources: dict[str, Source] = Field({}, description="file name without its ending → how it is read")
    time: str | None = Field(
        None, description="the column of the time, by its new name: ISO 8601 (UTC where it says nothing) or since 1970"
    )
    joins: tuple[Join, ...] = Field((), description="done in this order")
    unique: Unique | None = Field(None, description="one row for each id")
    provenance: str = Field("source", min_length=1, description="the column that says file and line")

    @model_validator(mode="after")
    def _time_where_it_is_needed(self) -> Self:
        if self.joins and self.time is None:
            raise ValueError("`joins` go by time; name its column in `time`")
        if self.unique is not None and self.unique.keep == "earliest" and self.time is None:
            raise ValueError("`keep: earliest` goes by time; name its column in `time`")
        return self


@dataclass
class Told:
    """What became of one source."""

    rows: int = 0
    quarantined: int = 0
    joined: int = 0


@dataclass
class Merged:
    """What came of it."""

    sources: dict[str, Told] = field(default_factory=dict)
    kept: int = 0
    dropped: int = 0


@dataclass
class _Placed:
    """One row, where it stands, and its time in seconds since 1970."""

    row: Row
    place: str
    time: float = math.nan


def merge_files(out: Path, paths: Sequence[Path], merge: Merge) -> Merged:
    """Merge `paths` into `out`; drops and rows that cannot be read stand beside it. All appear whole, or not at all.

    Raises ConfigError for settings that name what is not there, DataError for a file that cannot be read or written.
    """
    named = _named(paths, merge)
    told, files = Merged({name: Told() for name in named}), Beside.of(out)
    with scratch_in(out.parent, ".wheelwork-merge-") as scratch:
        made = files.within(scratch)
        found = {name: list(_read(path, name, merge, told.sources[name], made)) for name, path in named.items()}
        for join in merge.joins:
            told.sources[join.nearest].joined += _join(found[join.rows], found[join.nearest], join)
        beside = {join.nearest for join in merge.joins}
        rows = [one for name, some in found.items() if name not in beside for one in some]
        kept, dropped = _unique(rows, merge.unique, merge.provenance) if merge.unique else (rows, [])
        _write(made.out, out, [one.row | {merge.provenance: one.place} for one in kept])
        if dropped:
            _write(made.dropped, files.dropped, [one.row | {merge.provenance: one.place} for one in dropped])
        told.kept, told.dropped = len(kept), len(dropped)
        files.publish(scratch)
    return told


def _named(paths: Sequence[Path], merge: Merge) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise ConfigError(f"{path}: {named[path.stem]} has the same name but for its ending; rename one of them")
        named[path.stem] = path
    asked = [*merge.sources, *(name for join in merge.joins for name in (join.rows, join.nearest))]
    if unknown := [name for name in asked if name not in named]:
        raise ConfigError(f"no file is called `{unknown[0]}`; {nearest(unknown[0], named)}")
    gone: set[str] = set()
    for join in merge.joins:
        if join.rows == join.nearest or join.rows in gone or join.nearest in gone:
            raise ConfigError(f"`joins`: the rows of `{join.nearest}` cannot be joined to `{join.rows}` as well")
        gone.add(join.nearest)
    return named


def _read(path: Path, name: str, merge: Merge, told: Told, files: Beside) -> Iterator[_Placed]:
    """The rows of one file under their new names; one that cannot be read goes into quarantine."""
    source = merge.sources.get(name, Source())
    taken, any_row = {theirs: ours for ours, theirs in source.columns.items()}, False
    for batch in read_raw(path):
        for at, row in enumerate(batch.rows(range(len(batch)))):
            told.rows, any_row = told.rows + 1, True
            why = row.why if isinstance(row, Corrupt) else None
            if not isinstance(row, Corrupt):
                if merge.provenance in row and merge.provenance not in taken:
                    raise DataError(
                        f"{path}: it has a column `{merge.provenance}` already; give `provenance` another name"
                    )
                placed = _Placed(_renamed(row, taken, source.only), f"{path.name}:{batch.places[at]}")
                why = _lacking(row, source) or _timed(placed, merge.time)
                if why is None:
                    yield placed
                    continue
            told.quarantined += 1
            complaint = {"file": path.name, "line": batch.places[at], "why": why, "row": batch.raw(at)}
            with files.quarantined.open("ab") as stream:
                stream.write(json_text(complaint) + b"\n")
    if not any_row:
        raise DataError(f"{path}: the file has no rows; add some, or leave it out")


def _renamed(row: Row, taken: Mapping[str, str], only: bool) -> Row:
    """`row` with its new names; an old column of a name that is given anew gives way."""
    given = set(taken.values())
    return {taken.get(name, name): value for name, value in row.items() if name in taken or not (only or name in given)}


def _lacking(row: Row, source: Source) -> str | None:
    missing = [theirs for theirs in source.columns.values() if theirs not in row]
    return f"there is no column `{missing[0]}`" if missing else None


def _timed(placed: _Placed, column: str | None) -> str | None:
    """Note the time of a row, or say why there is none."""
    if column is None:
        return None
    value = placed.row.get(column)
    if value in (None, ""):
        return f"`{column}` is missing"
    try:
        placed.time = seconds_of(value)
    except (ValueError, OverflowError, TypeError):
        return f"`{column}` is no time: {str(value)[:40]!r}"
    return None


def seconds_of(value: Any) -> float:
    """A time as seconds since 1970: ISO 8601, a date or time of parquet, or a number of seconds or milliseconds.

    A time without a zone is UTC. Raises ValueError for what is none.
    """
    import pandas

    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, int | float) and not isinstance(number, bool):
        if not math.isfinite(number):
            raise ValueError("not finite")
        return number / 1000 if abs(number) > MILLISECONDS else float(number)
    if not isinstance(value, str | date):
        raise ValueError("no time")
    stamp = pandas.Timestamp(value)
    if stamp is pandas.NaT:
        raise ValueError("no time")
    return float((stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).timestamp())


def _join(rows: list[_Placed], others: list[_Placed], join: Join) -> int:
    """Give `rows` the columns of their nearest of `others`, where they have none of that name; how many got some."""
    import pandas

    def frame(placed: list[_Placed], called: str) -> Any:
        keys = [_key(one.row, join.by) for one in placed]
        told = [(one.time, key, at) for at, (one, key) in enumerate(zip(placed, keys, strict=True)) if key is not None]
        made = pandas.DataFrame(told, columns=["time", "key", called])
        return made.astype({"time": "float64", "key": "object"}).sort_values("time", kind="stable")

    direction = {"before": "backward", "after": "forward"}.get(join.direction, "nearest")
    left, right = frame(rows, "own"), frame(others, "other")
    if not len(left) or not len(right):
        return 0
    found = pandas.merge_asof(left, right, on="time", by="key", tolerance=join.within, direction=direction)
    found = found[found["other"].notna()]
    for own, other in zip(found["own"].tolist(), found["other"].astype(int).tolist(), strict=True):
        one, beside = rows[own], others[other]
        one.row = one.row | {name: value for name, value in beside.row.items() if name not in one.row}
        one.place = f"{one.place} + {beside.place}"
    return len(found)


def _key(row: Row, columns: Sequence[str]) -> str | None:
    """What the columns hold, as text, so that a 7 of JSON is the 7 of a CSV; None where one holds nothing."""
    values = [row.get(column) for column in columns]
    if any(value in (None, "") for value in values):
        return None
    return canonical_json([str(value).strip() for value in values])


def _unique(rows: list[_Placed], unique: Unique, provenance: str) -> tuple[list[_Placed], list[_Placed]]:
    """One row for each id, in the order of the rows, and the others with what took their place."""
    better: Callable[[float, float], bool] = (
        (lambda new, old: not new < old) if unique.keep == "latest" else (lambda new, old: not new > old)
    )
    best: dict[str, _Placed] = {}
    keys = [_key(one.row, unique.by) for one in rows]
    for one, key in zip(rows, keys, strict=True):
        if key is not None and (key not in best or better(one.time, best[key].time)):
            best[key] = one
    kept, dropped = [], []
    for one, key in zip(rows, keys, strict=True):
        if key is None or best[key] is one:
            kept.append(one)
        else:
            told = {"reject_reason": SUPERSEDED, DUPLICATE_OF: best[key].place}
            dropped.append(_Placed(one.row | told, one.place, one.time))
    return kept, dropped


def _write(path: Path, called: Path, rows: list[Row]) -> None:
    if path.suffix.lower() != ".parquet":
        rows = [json.loads(json_text(row)) for row in rows]  # dates and their like as text
    write_rows(path, rows, table_schema(called, rows))
