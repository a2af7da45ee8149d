"""The pool of a loop on disk: a log of changes, and versions and samples in the artefact store.

    <home>/pools/<loop>/log.jsonl      which version followed which, and when

A change is one version and one line of the log, made under the pool's lock: the version first, so that a line never
names one that is not there. A process that is killed leaves the pool at its last whole version.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..artifacts import Artifact, ArtifactStore
from ..errors import DataError
from ..lines import add_lines, read_lines
from ..samples import Sample
from ..workspace import locked
from .log import Action, Line
from .versions import Added, Entry, Mark, RoundFacts, Verdict, Version, View

SHORTEST = 4  # characters that may stand for a version
PATIENCE = 60.0  # seconds that a change waits for another to end
MARKS: dict[Verdict, Mark | None] = {"promoted": None, "rejected": "rejected", "inconclusive": "inconclusive"}
Clock = Callable[[], float]


class Pool:
    """The pool of the loop called `loop` in the state folder `home`. Reading makes no file."""

    def __init__(self, home: Path, loop: str, clock: Clock = time.time) -> None:
        self.loop = loop
        self.path = home / "pools" / loop / "log.jsonl"
        self.store = ArtifactStore(str(home / "artifacts"))
        self._lock = home / "locks" / f"{loop}.pool.lock"  # no loop's name has a dot
        self._clock = clock

    @property
    def home(self) -> Path:
        """The state folder that it lies in."""
        return self.path.parents[2]

    # reading

    def lines(self) -> list[Line]:
        """The log, oldest first."""
        return read_lines(self.path, Line, "the pool's log")

    def head(self) -> str | None:
        """The present version; None before the first."""
        lines = self.lines()
        return lines[-1].version if lines else None

    def find(self, name: str) -> str:
        """The version that `name` begins, or the present one for `head`. Raises DataError for none or several."""
        known = list(dict.fromkeys(line.version for line in self.lines() if line.version))
        if name == "head" and known:
            return self.head() or known[-1]
        found = [digest for digest in known if len(name) >= SHORTEST and digest.startswith(name)]
        if len(found) != 1:
            hint = f"`wheelwork pool log` lists the {len(known)} of them" if known else "no round has ended yet"
            several = f"begins {len(found)} versions" if found else "is no version"
            raise DataError(f"the pool of `{self.loop}`: `{name}` {several}; {hint}")
        return found[0]

    def read(self, version: str) -> Version:
        """One version as it was written."""
        return Version.model_validate(self.store.read_json(self.store.json_at(version)))

    def view(self, version: str | None) -> View:
        """All that the chain up to `version` adds up to; reads each of its files once."""
        view = View()
        for digest, change in reversed(list(self._chain(version))):
            view.apply(digest, change, self._samples_of)
        return view

    def excluded(self) -> dict[str, str]:
        """The ids that stay out at present, with why; no sample is read."""
        changes = [change for _, change in self._chain(self.head())]
        return {id: why for change in changes for id, why in change.excluded.items()}

    def drawn_by(self, round_id: str) -> str | None:
        """The version that a round replays from: the one it did when it ended before, else the present one.

        So a round that is given again is the round that it was, though its own samples are in the pool by now.
        """
        lines = self.lines()
        before = [line.drawn for line in lines if line.action == "round" and line.round == round_id]
        return before[0] if before else lines[-1].version if lines else None

    def samples(self, entries: Iterable[Entry]) -> Iterator[Sample]:
        """The samples of `entries`, file by file, each file in its own order."""
        wanted: dict[str, set[str]] = {}
        for entry in entries:
            wanted.setdefault(entry.file, set()).add(entry.id)
        for file, ids in wanted.items():
            for sample in self._samples_of(Added(digest=file, rows=0)):
                if sample.id in ids:
                    ids.remove(sample.id)  # a file may hold it twice
                    yield sample

    # changing

    def conclude_round(
        self,
        facts: RoundFacts,
        kept: Artifact,
        used: Collection[str] = (),
        drawn: str | None = None,
        excluded: Mapping[str, str] | None = None,
    ) -> Line:
        """Take in what a round kept: accepted when it was promoted, else marked with its verdict.

        `excluded` are the ids, with why, that people turned down before the round trained.

        A round that is given again changes nothing; one that adds nothing leaves a line with what it drew from.
        """
        added = (Added(digest=kept.digest, rows=kept.rows),) if kept.rows else ()
        change = Version(
            excluded=dict(excluded or {}), added=added, mark=MARKS[facts.verdict], used=tuple(used), round=facts
        )
        with self._changing():
            if (line := self._line_of(change)) is not None:
                return line
            return self._commit(change, "round", why=facts.verdict, round=facts.round, drawn=drawn)

    def exclude(self, ids: Mapping[str, str]) -> Line | None:
        """Keep `ids` (id → why) out of this pool and of every later round; None when they all were out already."""
        with self._changing():
            known = self.excluded()
            fresh = {id: why for id, why in ids.items() if id not in known}
            why = "; ".join(dict.fromkeys(reason for reason in fresh.values() if reason))
            return self._commit(Version(excluded=fresh), "exclude", why=why) if fresh else None

    def review(self, change: Version, why: str) -> Line | None:
        """Make a change that people decided on; None when the pool is as they want it already."""
        with self._changing():
            before = self.view(self.head())
            after = before.copy()
            after.apply(before.version or "", change, self._samples_of)
            return None if after.says_the_same(before) else self._commit(change, "review", why=why)

    def undo(self) -> Line:
        """Go back to the parent of the present version. Raises DataError when the pool is as it was at first."""
        with self._changing():
            if (head := self.head()) is None:
                raise DataError(f"the pool of `{self.loop}` has no version, so there is nothing to undo")
            return self._write("undo", self.view(self.read(head).parent), head, why=f"back from {head[:12]}")

    def _line_of(self, change: Version) -> Line | None:
        """The line of the round that brought just this, if that is part of the present version.

        What was accepted once stays so when the round is given again and judged at a later, stricter look.
        """
        lines = {line.version: line for line in self.lines() if line.action == "round"}
        for digest, there in self._chain(self.head()):
            same = there.round and change.round and there.round.round == change.round.round
            if same and (there.added, there.used) == (change.added, change.used) and there.mark in (None, change.mark):
                return lines[digest]
        return None

    def _commit(self, change: Version, action: Action, **told: Any) -> Line:
        view = self.view(self.head())
        before, placed = view.version, change.model_copy(update={"parent": view.version})
        digest = self.store.write_json(placed.model_dump(mode="json")).digest
        view.apply(digest, placed, self._samples_of)
        return self._write(action, view, before, **told)

    def _write(self, action: Action, after: View, before: str | None, **told: Any) -> Line:
        line = Line(
            at=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds"),
            action=action,
            before=before,
            version=after.version,
            accepted=len(after.accepted),
            marked=after.marks.total(),
            excluded=len(after.excluded),
            **told,
        )
        add_lines(self.path, [line])
        return line

    def _changing(self) -> AbstractContextManager[None]:
        """One change at a time."""
        busy = f"the pool of `{self.loop}` is being changed by another process; wait for it"
        return locked(self._lock, busy, PATIENCE)

    def _chain(self, version: str | None) -> Iterator[tuple[str, Version]]:
        """The versions from `version` back to the first."""
        while version is not None:
            change = self.read(version)
            yield version, change
            version = change.parent

    def _samples_of(self, file: Added) -> Iterator[Sample]:
        return self.store.samples(self.store.samples_at(file.digest, file.rows))
