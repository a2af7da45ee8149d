"""The ledger of a loop on disk: every accepted correction, for good.

    <home>/ledger/<loop>.jsonl      a line for each change; what holds now is what they add up to

Nothing is ever taken out: an entry that somebody retires, or that a later correction replaces, stays in the history.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..lines import add_lines, read_lines
from ..quality.known import Text
from ..workspace import locked
from .entries import Entry, Held, held_out_of
from .log import Line

PATIENCE = 60.0  # seconds that a change waits for another to end
SHORTEST = 4  # characters that may stand for an id
Clock = Callable[[], float]


class Taken(NamedTuple):
    """What became of entries that were brought: ids that came in, were there already, or took another's place.

    `against` are those that say otherwise than an entry that is there, each with it; they changed nothing.
    """

    added: tuple[str, ...]
    same: tuple[str, ...]
    replaced: tuple[str, ...]
    against: tuple[tuple[Entry, Entry], ...]

    @property
    def sentence(self) -> str:
        """What was done, in words; empty where nothing was brought."""
        told = {"came in": self.added, "replaced an earlier correction": self.replaced, "were there": self.same}
        told |= {"say otherwise than what is there and were left out": tuple(new.id for new, _ in self.against)}
        return ", ".join(f"{len(ids)} {what}" for what, ids in told.items() if ids)


class Ledger:
    """The ledger of the loop called `loop` in the state folder `home`. Reading makes no file."""

    def __init__(self, home: Path, loop: str, clock: Clock = time.time) -> None:
        self.loop = loop
        self.path = home / "ledger" / f"{loop}.jsonl"
        self._lock = home / "locks" / f"{loop}.ledger.lock"  # no loop's name has a dot
        self._clock = clock

    # reading

    def lines(self) -> tuple[Line, ...]:
        """The history, oldest first. Raises DataError for a damaged line."""
        return tuple(read_lines(self.path, Line, "the ledger"))

    def held(self, lines: int | None = None) -> dict[str, Held]:
        """All entries by id, retired ones too, as of the first `lines` lines of the history; by default now."""
        return added_up(self.lines()[:lines])

    def held_out(self) -> list[Text]:
        """The questions that must never be trained on, since they came from suites."""
        return held_out_of(list(self.held().values()), self.path)

    def opened_by(self, round_id: str) -> int:
        """How many lines a round is judged by: those that were there when it was opened, also when it ended before.

        So a round that is given again ends as it did, though what it fixed is in the ledger by now.
        """
        lines = self.lines()
        before = _judged_by(lines, round_id)
        return len(lines) if before is None else before

    def find(self, name: str) -> str:
        """The id that `name` begins. Raises DataError for none or several."""
        known = self.held()
        found = [id for id in known if len(name) >= SHORTEST and id.startswith(name)]
        if len(found) != 1:
            several = f"begins {len(found)} ids" if found else "is no id"
            hint = f"`wheelwork ledger list {self.loop} --retired` lists all {len(known)}"
            raise DataError(f"the ledger of `{self.loop}`: `{name}` {several}; {hint}")
        return found[0]

    def history(self, id: str) -> list[Line]:
        """Every line about one entry, oldest first."""
        return [line for line in self.lines() if line.id == id or id in line.ids]

    # changing

    def add(self, entries: Iterable[Entry], *, replace: bool, who: str = "", why: str = "") -> Taken:
        """Take in corrections; what is there already changes nothing, also where it was retired.

        One that says otherwise than what is there takes its place with `replace`, else it is left out and told. Only a
        correction of people takes the place of another: what a round fixed is held out, and stays so.
        """
        with self._changing():
            taken, lines = self._taken(entries, replace, who, why)
            add_lines(self.path, lines)
            return taken

    def retire(self, id: str, *, who: str, why: str) -> bool:
        """Take an entry out of the guard, with the reason; False where it was out already."""
        return self._switch(id, False, who, why)

    def restore(self, id: str, *, who: str, why: str = "") -> bool:
        """Take a retirement back; False where there is none."""
        return self._switch(id, True, who, why)

    def conclude_round(
        self, round_id: str, opened: int, corrected: Iterable[Entry], fixed: Iterable[Entry], right: Collection[str]
    ) -> Taken:
        """What a round leaves: corrections that people made in it, items that it fixed, ids that champions got right.

        A round that is given again changes nothing.
        """
        with self._changing():
            known = self.lines()
            lines = []
            if _judged_by(known, round_id) != opened:
                lines.append(self._line("round", round=round_id, lines=opened))
            said, more = self._taken(corrected, True, "", f"review of round {round_id}")
            got, fixes = self._taken(fixed, False, "", f"fixed by round {round_id}", [*known, *more])
            lines += more + fixes
            there = added_up([*known, *lines])
            if learnt := tuple(id for id in right if id in there and not there[id].once_right):
                lines.append(self._line("learnt", ids=learnt, round=round_id))
            add_lines(self.path, lines)
            return Taken(
                said.added + got.added, said.same + got.same, said.replaced + got.replaced, said.against + got.against
            )

    def _taken(
        self, entries: Iterable[Entry], replace: bool, who: str, why: str, known: Sequence[Line] | None = None
    ) -> tuple[Taken, list[Line]]:
        there = {id: held.entry for id, held in added_up(self.lines() if known is None else known).items()}
        added, same, replaced = list[str](), list[str](), list[str]()
        against, lines = list[tuple[Entry, Entry]](), list[Line]()
        for entry in entries:
            before = there.get(entry.id)
            if before is None:
                added.append(entry.id)
                lines.append(self._line("add", id=entry.id, entry=entry, who=who or entry.origin.by, why=why))
            elif before.right == entry.right:
                same.append(entry.id)
                continue
            elif not replace or entry.held_out or before.held_out:
                against.append((entry, before))
                continue
            else:
                replaced.append(entry.id)
                lines.append(self._line("replace", id=entry.id, entry=entry, who=who or entry.origin.by, why=why))
            there[entry.id] = entry
        return Taken(tuple(added), tuple(same), tuple(replaced), tuple(against)), lines

    def _switch(self, id: str, active: bool, who: str, why: str) -> bool:
        with self._changing():
            if self.held()[id].active == active:
                return False
            add_lines(self.path, [self._line("restore" if active else "retire", id=id, who=who, why=why)])
            return True

    def _line(self, action: str, **told: Any) -> Line:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        return Line.model_validate({"at": at, "action": action, **told})

    def _changing(self) -> AbstractContextManager[None]:
        """One change at a time."""
        return locked(
            self._lock, f"the ledger of `{self.loop}` is being changed by another process; wait for it", PATIENCE
        )


def _judged_by(lines: Iterable[Line], round_id: str) -> int | None:
    """By how many lines a round was judged last; None where it has not ended."""
    found = [line.lines for line in lines if line.action == "round" and line.round == round_id]
    return found[-1] if found else None


def added_up(lines: Iterable[Line]) -> dict[str, Held]:
    """What lines add up to: entries by id, in the order of their coming.

    What was replaced has to be learnt anew, since another answer is right now; an item that a round fixed was learnt
    by its champion.
    """
    held: dict[str, Held] = {}
    for line in lines:
        if line.entry is not None:
            held[line.id] = Held(entry=line.entry, once_right=line.entry.held_out, since=line.at)
        elif line.action in ("retire", "restore"):
            held[line.id] = held[line.id].model_copy(update={"active": line.action == "restore"})
        for id in line.ids:
            held[id] = held[id].model_copy(update={"once_right": True})
    return held
