"""Rotating a holdout: a fresh one drawn from a larger reserve, the old one kept, and a line that says who and why.

A holdout wears out: each look at it spends some of the α that a loop may err with. A fresh one has another digest, so
that its looks are counted anew.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import Field

from ...errors import ConfigError, DataError
from ...generation.quota import spread
from ...lines import add_lines, read_lines
from ...loops import Loop
from ...naming import CONFIG
from ...rows import Row, kind_of, read_rows, write_rows
from ...settings import Setting
from ...text import nearest
from ...workspace import writing
from ..scorers import Item
from ..suites import Suite, read_suite
from .leaks import LeakCheck, find_leaks
from .texts import Said, held_out_in, learnt_from, said_of

LOG = "rotations.jsonl"
BY_WORDS = LeakCheck(cosine=None)
Clock = Callable[[], float]


class Rotation(Setting):
    """One rotation of one suite."""

    at: str = Field(description="time in UTC, ISO 8601")
    suite: str
    who: str = Field("", description="who did it")
    why: str = Field("", description="the reason")
    before: str = Field(description="digest of the suite before")
    after: str = Field(description="digest of the suite after")
    kept_as: str = Field(description="where the old rows lie now")
    reserve: str = Field(description="the file that the new ones came from")
    rows: int = Field(description="how many they are")
    left: int = Field(description="rows of the reserve that could still be drawn")
    seed: int
    used: tuple[str, ...] = Field(description="ids of the old items: they are never drawn again")


class Reserve(NamedTuple):
    """A reserve, and which of its rows are fresh: in no earlier holdout, no other suite, nothing that is trained on."""

    path: Path
    items: dict[int, Item]
    """Line → item, of the fresh ones."""
    rows: int


def rotations(folder: Path) -> list[Rotation]:
    """Every rotation of the loop in `folder`, oldest first; a last line that a kill cut short does not count."""
    return read_lines(folder / LOG, Rotation, "the rotations")


def read_reserve(loop: Loop, name: str, path: Path | None, trained: Sequence[Said] = ()) -> Reserve:
    """The reserve of a suite, by default the one that it names, without what is known.

    `trained` is what the loop trains or trained on beside its seeds and rehearsal: what its pool holds. Raises
    ConfigError for a suite without a reserve, DataError for a row of it that is none of the suite's.
    """
    suite = suite_called(loop, name)
    if path is None:
        if suite.settings.reserve is None:
            raise ConfigError(
                f"{loop.folder / CONFIG}: `suites.{name}` has no `reserve`, a file with more rows of its kind; name "
                "one there, or give it with --from"
            )
        path = loop.folder / suite.settings.reserve
    settings = suite.settings.model_copy(update={"path": str(path.resolve())})
    read = read_suite(name, settings, loop.folder, tuple(loop.labels))
    used = {item.id for item in suite.items} | {id for one in rotations(loop.folder) for id in one.used}
    fresh = {line: item for line, item in zip(read.lines, read.items, strict=True) if item.id not in used}
    known = [*held_out_in(loop.suites), *learnt_from(loop.material.seed_samples(), "seeds"), *trained]
    known += [Said(text, "", "rehearsal") for text in loop.rehearsal]
    asked = [said_of(item, name, str(line)) for line, item in fresh.items()]
    for leak in find_leaks(asked, known, BY_WORDS).leaks:
        fresh.pop(int(leak.row.place), None)
    return Reserve(path, fresh, len(read.items))


def rotate(
    loop: Loop,
    name: str,
    reserve: Reserve,
    *,
    n: int | None = None,
    seed: int = 0,
    who: str = "",
    why: str = "",
    clock: Clock = time.time,
) -> Rotation:
    """Put `n` fresh rows in the place of the suite's, by default as many, each label with its share of the old ones.

    The old file is copied beside first, then the line is written, then the new file takes its place: a process that is
    killed leaves the old holdout or the new one, whole. Raises DataError where the reserve has too few rows of a label,
    ConfigError for a suite that other loops may share.
    """
    suite = suite_called(loop, name)
    path = suite.path.resolve()
    if not path.is_relative_to(loop.folder.resolve()):
        raise ConfigError(
            f"{path}: `{name}` lies outside of the loop's folder, so that other loops may measure on it; copy it there "
            f"and name the copy in {loop.folder / CONFIG}"
        )
    kind_of(path)
    chosen = _draw(suite, reserve, n, seed)
    at = datetime.fromtimestamp(clock(), UTC)
    kept = path.with_name(f"{path.stem}.{at:%Y-%m-%d}-{suite.digest[:8]}{path.suffix}")
    with writing(kept) as temporary:
        shutil.copyfile(path, temporary)
    rows = [row for line, row in read_rows(reserve.path) if line in chosen]
    with writing(path) as fresh:
        write_rows(fresh, rows, _schema(rows, path))
        settings = suite.settings.model_copy(update={"path": str(fresh)})
        done = Rotation(
            at=at.isoformat(timespec="seconds"),
            suite=name,
            who=who,
            why=why,
            before=suite.digest,
            after=read_suite(name, settings, loop.folder, tuple(loop.labels)).digest,
            kept_as=kept.name,
            reserve=reserve.path.name,
            rows=len(rows),
            left=len(reserve.items) - len(rows),
            seed=seed,
            used=tuple(item.id for item in suite.items),
        )
        add_lines(loop.folder / LOG, [done])
    return done


def suite_called(loop: Loop, name: str) -> Suite:
    """A suite of the loop. Raises DataError with the nearest name."""
    if name not in loop.suites:
        raise DataError(f"the loop `{loop.name}` has no suite `{name}`; {nearest(name, loop.suites)}")
    return loop.suites[name]


def stratum(item: Item) -> str:
    """What a draw keeps the shares of: the label, or the part that the item is reported under."""
    return item.label or item.slice or ""


def _draw(suite: Suite, reserve: Reserve, n: int | None, seed: int) -> set[int]:
    """Lines of the reserve: of each stratum its share, at random, the same for the same seed."""
    quotas = spread(len(suite.items) if n is None else n, Counter(map(stratum, suite.items)))
    lines: dict[str, list[int]] = {name: [] for name in quotas}
    for line, item in reserve.items.items():
        lines.setdefault(stratum(item), []).append(line)
    if short := {name: quota for name, quota in quotas.items() if len(lines[name]) < quota}:
        name, quota = next(iter(short.items()))
        what = f"`{name}`" if name else "the suite"
        more = f" (and too few for {len(short) - 1} more)" if len(short) > 1 else ""
        raise DataError(
            f"{reserve.path}: {len(lines[name])} fresh rows are left for {what}, and {quota} are needed{more}; add "
            "some, or take fewer with --n"
        )
    draw = random.Random(seed)
    return {line for name, quota in quotas.items() for line in draw.sample(sorted(lines[name]), quota)}


def _schema(rows: Sequence[Row], path: Path) -> pa.Schema:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if path.suffix.lower() == ".parquet":
        return pa.Table.from_pylist([{column: row.get(column) for column in columns} for row in rows]).schema
    return pa.schema([(column, pa.string()) for column in columns])
