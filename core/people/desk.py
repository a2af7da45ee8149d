"""A desk: where the rows of one round lie for people, and what they decided, on disk.

    <home>/reviews/<loop>/<round>-<digest of what it kept>/
        sheet.csv, sheet.jsonl    for people to fill in
        asked.json                which rows, and the file of samples that they are from
        given.jsonl               decisions as they came, a line for each sheet or form
        taken.json                the decisions that the round trained by
        concluded                 the round has ended, and its rows are in the pool

Whoever gives decisions adds a line under the desk's lock, the round only looks: so neither waits for the other, and a
round that is killed finds what was given.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from pydantic import Field, ValidationError

from ..artifacts import ArtifactStore
from ..errors import DataError
from ..lines import add_lines, read_lines
from ..pool.sheet import Decided, majority
from ..rows import Row
from ..samples import Sample
from ..settings import Setting
from ..workspace import explaining_disk_errors, write_text

Clock = Callable[[], float]
S = TypeVar("S", bound=Setting)


class Decision(Setting):
    """What was said of one row: by whom, and where it stands in what they gave."""

    id: str
    by: str = Field(description="name of the sheet, or of the form")
    line: int = Field(description="line of the sheet; row of the form")
    votes: dict[str, str] = Field({}, description="reviewer → decision")
    new_text: str = ""
    new_answer: str = ""

    @property
    def says_something(self) -> bool:
        return bool(self.votes or self.new_text or self.new_answer)

    @property
    def decided(self) -> Decided:
        """As the pool reads it."""
        return Decided(self.line, self.id, self.votes, self.new_text, self.new_answer)

    @property
    def turned_down(self) -> bool:
        """Whether the row as it was is not to be trained on."""
        return bool(self.new_text or self.new_answer) or majority(self.votes) == "reject"


class Given(Setting):
    """One sheet or form as it was given."""

    at: str
    rows: tuple[Decision, ...]
    rest: bool = Field(False, description="rows that nobody decided on stay as they are")


class Asked(Setting):
    """What lies on a desk."""

    round: str
    digest: str = Field(description="of the samples that the round kept")
    kept: int = Field(description="how many they are")
    labels: tuple[str, ...] = Field((), description="what an answer may be, where it is a label")
    rows: tuple[dict[str, str], ...] = Field(description="what people see, row by row")

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(row["id"] for row in self.rows)


class Taken(Setting):
    """The decisions that a round trained by."""

    decisions: tuple[Decision, ...]
    ended: str = Field(description="how the wait ended: sheet, form, timeout, offered")
    seconds: float = Field(description="how long the round waited, since it was started last")


class Desk:
    """The desk in `folder`; see the module."""

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self.folder = folder
        self._clock = clock

    @property
    def sheet(self) -> Path:
        return self.folder / "sheet.csv"

    def asked(self) -> Asked | None:
        """What lies here; None of a desk that was not opened."""
        return self._read("asked.json", Asked)

    def lay(self, asked: Asked) -> None:
        """Open the desk: from now on decisions can be given."""
        write_text(self.folder / "asked.json", asked.model_dump_json())

    def touch(self) -> None:
        """A round works at this desk: it is the latest now."""
        os.utime(self.folder / "asked.json")

    def give(self, rows: Iterable[Decision], rest: bool = False) -> None:
        """Add decisions. What is empty changes nothing; a later word of the same reviewer counts before an earlier."""
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        line = Given(at=at, rows=tuple(row for row in rows if row.says_something), rest=rest)
        with explaining_disk_errors(self.folder), FileLock(self.folder / "lock"):
            add_lines(self._given, [line])

    def given(self) -> dict[str, Decision]:
        """The last word on each row that somebody said something of, by id."""
        found: dict[str, Decision] = {}
        for line in self._lines():
            for row in line.rows:
                found[row.id] = _together(found[row.id], row) if row.id in found else row
        return found

    def left(self) -> tuple[str, ...]:
        """The ids that still wait for a decision; none when somebody said that the rest stays as it is."""
        asked, given = self.asked(), self.given()
        if asked is None or any(line.rest for line in self._lines()):
            return ()
        return tuple(id for id in asked.ids if id not in given)

    def taken(self) -> Taken | None:
        """What the round trained by; None while it has not taken the decisions."""
        return self._read("taken.json", Taken)

    def take(self, ended: str, seconds: float) -> Taken:
        """Close the desk: the round goes on with what was given so far."""
        given, asked = self.given(), self.asked()
        rows = [given[id] for id in asked.ids if id in given] if asked else []
        taken = Taken(decisions=tuple(rows), ended=ended, seconds=seconds)
        write_text(self.folder / "taken.json", taken.model_dump_json())
        return taken

    def late(self) -> list[Decision]:
        """What was given after the round had taken the decisions."""
        taken = self.taken()
        before = {row.id: row for row in taken.decisions} if taken else {}
        return [row for id, row in self.given().items() if taken and before.get(id) != row]

    @property
    def concluded(self) -> bool:
        """Whether the rows are in the pool, where decisions go from now on."""
        return (self.folder / "concluded").exists()

    def conclude(self) -> None:
        write_text(self.folder / "concluded", "")

    def reopen(self) -> None:
        """Ask again: what was decided before lies beside it, and counts no more."""
        for name in ("given.jsonl", "taken.json", "concluded"):
            with suppress(FileNotFoundError):
                (self.folder / name).replace(self.folder / f"before.{name}")

    def samples(self, store: ArtifactStore) -> dict[str, Sample]:
        """The samples that lie here, by id."""
        asked = self.asked()
        if asked is None:
            return {}
        ids = set(asked.ids)
        return {one.id: one for one in store.samples(store.samples_at(asked.digest, asked.kept)) if one.id in ids}

    @property
    def _given(self) -> Path:
        return self.folder / "given.jsonl"

    def _lines(self) -> list[Given]:
        return read_lines(self._given, Given, "the decisions")

    def _read(self, name: str, kind: type[S]) -> S | None:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            return kind.model_validate_json(path.read_bytes())
        except ValidationError:
            raise DataError(f"{path}: is damaged; remove {self.folder}, and the round asks again") from None


def desks_of(home: Path, loop: str, round_id: str = "") -> list[Desk]:
    """The desks of a loop that were opened, or of one of its rounds; the latest first."""
    folder = home / "reviews" / loop
    pattern = f"{round_id}-*/asked.json" if round_id else "*/asked.json"
    found = sorted(folder.glob(pattern), key=lambda path: (path.stat().st_mtime, path), reverse=True)
    return [Desk(path.parent) for path in found]


def desk_with(home: Path, loop: str, ids: Sequence[str]) -> Desk | None:
    """The latest desk that holds all of `ids`; None when its round has ended, or there is none: ask the pool then."""
    for desk in desks_of(home, loop):
        asked = desk.asked()
        if asked and ids and set(ids) <= set(asked.ids):
            return None if desk.concluded else desk
    return None


def waiting_desk(home: Path, loop: str) -> Desk | None:
    """The latest desk that still wants decisions for a round that has not gone on without them."""
    open_desks = (desk for desk in desks_of(home, loop) if desk.taken() is None and desk.left())
    return next(open_desks, None)


def turned_down_by(home: Path, loop: str, round_id: str) -> set[str]:
    """The ids that a round itself left out by its review: given again, it must not miss them before it asks."""
    taken = [desk.taken() for desk in desks_of(home, loop, round_id)]
    return {row.id for one in taken if one for row in one.decisions if row.turned_down}


def known_before(home: Path, loop: str, ids: Iterable[str]) -> list[Decision]:
    """Decisions of earlier rounds about rows with these ids: nobody is asked twice about the same row."""
    wanted, found = set(ids), dict[str, Decision]()
    for taken in filter(None, (desk.taken() for desk in desks_of(home, loop))):
        for row in taken.decisions:
            if row.id in wanted:
                found.setdefault(row.id, row)
    return list(found.values())


def shown_rows(rows: Iterable[Mapping[str, object]]) -> tuple[dict[str, str], ...]:
    """Rows of a sheet as a desk keeps them."""
    return tuple({name: str(value) for name, value in row.items()} for row in rows)


def as_rows(asked: Asked) -> list[Row]:
    """The rows of a desk as a sheet has them."""
    return [dict(row) for row in asked.rows]


def _together(before: Decision, later: Decision) -> Decision:
    return later.model_copy(
        update={
            "votes": before.votes | later.votes,
            "new_text": later.new_text or before.new_text,
            "new_answer": later.new_answer or before.new_answer,
        }
    )
