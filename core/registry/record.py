"""A journal beside the registry that it tells of: both are brought into step before anything is moved.

Nothing here moves an alias. Where MLflow and the journal say different things about one, the journal takes in what
MLflow says; where they say different things about a version's tags, MLflow takes in what the journal says.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from ..errors import RegistryError
from .claims import Place, Tags
from .journal import CANDIDATE, CHAMPION, Alias, Clock, Entry, Journal, Move, State, Who
from .past import Past

CHAMPION_TAG = "wheelwork.champion"  # at the registered model: who made the champion what it is, for other folders
ANCHOR_TAG = "wheelwork.journal."  # and the last line of each folder's journal, so that a shortened one is seen
ALIASES = (CHAMPION, CANDIDATE)


class Version(NamedTuple):
    """A version as the registry has it: its tags, and the MLflow run and the round that it is from."""

    tags: dict[str, str]
    run: str = ""
    round: str = ""


class Registry(Tags, Protocol):
    """A loop's registered model; every method raises DependencyError when it does not answer."""

    def aliases(self) -> dict[str, str]:
        """Alias → version."""
        ...

    def point(self, alias: str, version: str | None) -> None:
        """Move an alias, in one step; None takes it away."""
        ...

    def version(self, version: str) -> Version | None:
        """None where there is none of this number."""
        ...

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None: ...


class Record:
    """The journal of a loop, what it adds up to, and the registry that it tells of. Its user holds the folder's lock.

    Reading it raises RegistryError for a journal that is damaged, or shorter than it was.
    """

    def __init__(self, journal: Journal, registry: Registry, who: Who) -> None:
        self._journal = journal
        self._registry = registry
        self._who = who
        lost = journal.mend()
        self.past = Past(journal.entries())
        self._known = len(self.past.digests)
        self._check_anchor()
        if lost:
            self.write(self._about_champion("repair", lost))

    def write(self, move: Move, state: State = "done", begun: int | None = None, note: str = "") -> Entry:
        """Add a line to the journal and take it in."""
        entry = self._journal.append(move, self._who, state, begun, note)
        self.past.apply(entry)
        return entry

    def reconcile(self) -> None:
        """Take in what happened to the aliases since the last line."""
        aliases = self._registry.aliases()
        if not self.past.digests and aliases:
            self._start(aliases)
        if self.past.begun is not None:
            self._end(self.past.begun, aliases)
        for alias in ALIASES:
            if self.past.holders.get(alias) != aliases.get(alias):
                self._outside(alias, aliases.get(alias))

    def mend_tags(self) -> None:
        """Set the tags of champion and candidate as their last judgement and measurement say, where they are not."""
        for version in sorted({version for version in self.past.holders.values() if version}):
            wanted = self.past.tags(version)
            if not wanted or (found := self._registry.version(version)) is None:
                continue
            wrong = {name: value for name, value in wanted.items() if found.tags.get(name) != value}
            if wrong:
                self._registry.tag_version(version, wrong)
                told = f"tags of version {version} set again: {', '.join(sorted(wrong))}"
                self.write(self._about_champion("repair", told))

    def anchor(self) -> None:
        """Leave the journal's last line with MLflow, if lines were added."""
        digests = self.past.digests
        if len(digests) > self._known:
            folder = Place.of(self._journal.path.parent).folder
            self._registry.tag(_anchor_of(digests[0]), f"{len(digests)} {digests[-1]} {folder}")
            self._known = len(digests)

    def _check_anchor(self) -> None:
        digests = self.past.digests
        if not digests or (told := self._registry.tags().get(_anchor_of(digests[0]))) is None:
            return
        count, digest = int(told.split()[0]), told.split()[1]
        if len(digests) < count or digests[count - 1] != digest:
            raise RegistryError(
                f"{self._journal.path}: MLflow knows {count} lines of this journal, and {len(digests)} are there or "
                "they are others; put back a copy of the file, or move it away: a new journal begins with what stands "
                "in MLflow"
            )

    def _start(self, aliases: Mapping[str, str]) -> None:
        """The first lines of a journal: what stands in MLflow without one."""
        reason = "found in MLflow as the journal began"
        if (gone := self._gone()) is not None:
            reason += f"; one of {gone} lines was in this folder before"
        for alias in reversed(ALIASES):
            if (version := aliases.get(alias)) is None:
                continue
            found = self._registry.version(version) or Version({})
            against = found.tags.get("previous_champion") or None
            won = alias == "champion" and found.tags.get("verdict") == "promoted"
            self.write(self._found("start", alias, against if won else None, version, found, reason))

    def _gone(self) -> int | None:
        """How many lines a journal had that was in this folder before; None where there was none."""
        folder = Place.of(self._journal.path.parent).folder
        told = (value.split() for name, value in self._registry.tags().items() if name.startswith(ANCHOR_TAG))
        return max((int(count) for count, _, place in told if place == folder), default=None)

    def _end(self, begun: Entry, aliases: Mapping[str, str]) -> None:
        """Finish or withdraw a move that a process did not end."""
        if aliases.get(begun.move.alias) == begun.move.after:
            note = "finished by a later run: the process that began it ended after the alias was moved"
            self.write(begun.move, "done", begun.sequence, note)
        else:
            note = "the process that began it ended before the alias was moved"
            self.write(begun.move, "withdrawn", begun.sequence, note)

    def _outside(self, alias: Alias, version: str | None) -> None:
        """Write down that an alias was moved by somebody else."""
        found = (self._registry.version(version) if version else None) or Version({})
        before = self.past.holders.get(alias)
        self.write(self._found("outside", alias, before, version, found, self._by_whom(alias, version)))

    def _by_whom(self, alias: Alias, version: str | None) -> str:
        """Who moved an alias, where another folder left word of it."""
        try:
            told = json.loads(self._registry.tags()[CHAMPION_TAG])
            if alias == "champion" and told["version"] == version and told["line"] not in self.past.digests:
                return f"moved from another state folder: {told['kind']} by {told['by']} at {told['at']}"
        except (KeyError, ValueError, TypeError):
            pass
        return "moved outside wheelwork, such as by hand in MLflow"

    def _found(
        self, kind: Literal["start", "outside"], alias: Alias, before: str | None, after: str | None, found: Version,
        reason: str,
    ) -> Move:  # fmt: skip
        return Move(
            kind=kind,
            alias=alias,
            before=before,
            after=after,
            adapter=found.tags.get("adapter_digest", ""),
            verdict=found.tags.get("verdict", ""),
            against=found.tags.get("previous_champion") or None,
            reason=reason,
            round=found.round,
            run=found.run,
        )

    def _about_champion(self, kind: Literal["repair"], reason: str) -> Move:
        """A line that tells of something else than a move."""
        return Move(kind=kind, alias="champion", before=self.past.champion, after=self.past.champion, reason=reason)


def journal_of(home: Path, loop: str, clock: Clock) -> Journal:
    """The journal of a loop in the state folder `home`."""
    return Journal(home / "registry" / f"{loop}.journal.jsonl", clock)


def _anchor_of(first: str) -> str:
    """The tag that names the last line of the journal whose first line has the digest `first`."""
    return f"{ANCHOR_TAG}{first[:16]}"
