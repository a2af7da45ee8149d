"""The journal of a loop's registry: a line for each step of each alias move, only ever added to, each line sealed.

    <home>/registry/<loop>.journal.jsonl

A line is canonical JSON. It holds the digest of the line before it and its own, over all else that stands in it, so
that nothing can be changed, taken out or put in between without its line being named. A line is on the disk before
`append` returns. What a kill cuts short is the last line alone: it is put aside in `<loop>.journal.torn`, never lost.

Whoever writes holds the registry's lock (`moves.py`). Reading needs none.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, ValidationError

from ..digests import canonical_json, digest_of
from ..errors import RegistryError
from ..settings import Setting
from ..workspace import explaining_disk_errors
from .fingerprint import Fingerprint

Alias = Literal["champion", "candidate"]
CHAMPION: Alias = "champion"
CANDIDATE: Alias = "candidate"
Kind = Literal["start", "judge", "promote", "refuse", "rollback", "outside", "measure", "repair", "canary"]
State = Literal["begun", "done", "withdrawn"]
Clock = Callable[[], float]
Figures = dict[str, dict[str, FiniteFloat | None]]

MOVING: frozenset[Kind] = frozenset({"start", "judge", "promote", "rollback", "outside"})
"""The kinds after which an alias stands elsewhere."""


class Who(Setting):
    """Who made a change: a person at a machine, and the flow run if it was one."""

    user: str
    host: str
    run: str = ""

    @property
    def in_words(self) -> str:
        return f"{self.user}@{self.host}" + (f", run {self.run}" if self.run else "")


class Move(Setting):
    """What was done, or is to be done, to one alias, and why. Versions are MLflow's; None is the base alone."""

    kind: Kind
    alias: Alias
    before: str | None = None
    after: str | None = None
    adapter: str = Field("", description="digest of the adapter that the move is about")
    verdict: str = Field("", description="what the gate said; empty where none was asked")
    against: str | None = Field(None, description="the champion that the verdict is against; None: the base")
    figures: Figures = Field({}, description="suite → its key figures")
    reason: str = ""
    round: str = ""
    run: str = Field("", description="the round's run in MLflow")
    fingerprint: Fingerprint | None = Field(None, description="what was measured")


class Entry(Setting):
    """One line: a move that was begun, done or withdrawn; when, by whom, and what ties it to the line before."""

    sequence: int = Field(ge=1)
    at: str = Field(description="time in UTC, ISO 8601")
    who: Who
    state: State = "done"
    begun: int | None = Field(None, description="of a move that was done or withdrawn: the line that began it")
    note: str = Field("", description="what a person should know, such as that a later run finished the move")
    move: Move
    previous: str = Field(description="digest of the line before; empty for the first")
    digest: str

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)

    @property
    def moved(self) -> bool:
        """Whether the alias stands elsewhere since."""
        return self.state == "done" and self.move.kind in MOVING


class Journal:
    """The journal at `path`; the clock tells seconds since 1970. Reading makes no file."""

    def __init__(self, path: Path, clock: Clock = time.time) -> None:
        self.path = path
        self._clock = clock
        self._last: Entry | None = None
        self._read = -1  # bytes that `_last` is the end of

    def entries(self) -> Iterator[Entry]:
        """Every whole entry, oldest first; a last line that was cut short, or is being written, does not count.

        Raises RegistryError, with its number, for a line that was changed, or before which one is missing.
        """
        last, read = None, 0
        if self.path.exists():
            with self.path.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    entry = _parsed(line.rstrip(b"\n"))
                    if entry is None and not line.endswith(b"\n"):
                        break
                    previous = last.digest if last else ""
                    if entry is None or (entry.sequence, entry.previous) != (number, previous):
                        raise self._damaged(number)
                    yield entry
                    last, read = entry, read + len(line)
        self._last, self._read = last, read

    def append(self, move: Move, who: Who, state: State = "done", begun: int | None = None, note: str = "") -> Entry:
        """Add a line, which is on the disk when this returns.

        Raises RegistryError for a damaged journal, and for one that was cut short: see `mend`.
        """
        last = self._tail()
        told: dict[str, Any] = {
            "sequence": last.sequence + 1 if last else 1,
            "at": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "who": who.model_dump(),
            "state": state,
            "begun": begun,
            "note": note,
            "move": move.model_dump(mode="json"),
            "previous": last.digest if last else "",
        }
        told["digest"] = digest_of(told)
        with explaining_disk_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.path.exists()
            with self.path.open("ab") as stream:
                stream.write(canonical_json(told).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            if fresh:
                _sync_folder(self.path.parent)
        entry = Entry.model_validate(told)
        self._last, self._read = entry, self.path.stat().st_size
        return entry

    def mend(self) -> str:
        """Make the last line whole or take it away, if a kill cut it short; returns what was done, in words.

        A line that lacks but its end is kept. Any other is added to `<loop>.journal.torn` before it leaves.
        """
        if not self.path.exists():
            return ""
        with explaining_disk_errors(self.path.parent), self.path.open("r+b") as stream:
            start = _start_of_last_line(stream)
            stream.seek(start)
            if not (torn := stream.read()):
                return ""
            whole = _parsed(torn) is not None
            if whole:
                stream.write(b"\n")
            else:
                with self.path.with_suffix(".torn").open("ab") as aside:
                    aside.write(torn + b"\n")
                    aside.flush()
                    os.fsync(aside.fileno())
                stream.truncate(start)
            stream.flush()
            os.fsync(stream.fileno())
        if whole:
            return ""  # nothing was lost
        return f"a last line that was cut short after {len(torn)} bytes was put aside in {self.path.stem}.torn"

    def _tail(self) -> Entry | None:
        """The last entry; the file is read again when it is not as this object left it."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size != self._read:
            count = sum(1 for _ in self.entries())
            if size != self._read:  # a line that was cut short, and was not mended
                raise self._damaged(count + 1)
        return self._last

    def _damaged(self, number: int) -> RegistryError:
        return RegistryError(
            f"{self.path}:{number}: this line of the journal was changed, or one before it was taken out; put back a "
            "copy of the file, or move it away: a new journal begins with what stands in MLflow"
        )


def _parsed(line: bytes) -> Entry | None:
    """The entry that `line` is; None where it is none, or not byte for byte what was sealed."""
    try:
        told = json.loads(line)
        sealed = {name: value for name, value in told.items() if name != "digest"}
        if told["digest"] != digest_of(sealed) or canonical_json(told).encode() != line:
            return None
        return Entry.model_validate(told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError):
        return None


def _start_of_last_line(stream: Any) -> int:
    """Where what follows the last line end begins; the size of the file where nothing follows."""
    position = stream.seek(0, os.SEEK_END)
    while position:
        step = min(4096, position)
        position = stream.seek(position - step)
        if (found := stream.read(step).rfind(b"\n")) >= 0:
            return int(position + found + 1)
    return 0


def _sync_folder(folder: Path) -> None:
    """Put the name of a new file on the disk too, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
