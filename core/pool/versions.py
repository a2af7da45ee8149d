"""A version of a pool: a small change of its parent. A view: what a chain of them adds up to.

A version names the files of samples that came in; it holds no sample. So a version costs a few hundred bytes, however
large the pool is, and every older one stays as it was.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import Field

from ..digests import SHORT, digest_of
from ..samples import Sample
from ..settings import Setting
from ..text import normalised

Verdict = Literal["promoted", "rejected", "inconclusive"]
Mark = Literal["rejected", "inconclusive"]


class Added(Setting):
    """A file of samples in the artefact store, by its content: it is found wherever the store has moved."""

    digest: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the parquet file")
    rows: int = Field(ge=0, description="how many samples it holds")


class RoundFacts(Setting):
    """The round that samples come from, as a dataset card tells it."""

    round: str = Field(description="id of the round")
    seed: int = Field(description="its seed")
    verdict: Verdict = Field(description="what the gate said")
    asked: int = Field(description="samples that were asked for in `loop.yaml` or on the command line")
    funnel: dict[str, Any] = Field(description="rows generated, kept, and dropped by reason")


class Version(Setting):
    """One change. Its parts are applied in the order in which they stand here."""

    parent: str | None = Field(None, description="digest of the version before; None: the empty pool")
    excluded: dict[str, str] = Field({}, description="id → why; these leave the pool and never come in again")
    marks: dict[str, Mark | None] = Field({}, description="id → its new mark; None: accepted")
    added: tuple[Added, ...] = Field((), description="files of samples that come in")
    mark: Mark | None = Field(None, description="the mark of what comes in; None: accepted")
    used: tuple[str, ...] = Field((), description="ids that the round trained on again")
    round: RoundFacts | None = Field(None, description="the round that this version concludes, if it does")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a pool knows of one sample without its text."""

    id: str
    key: str  # equal for equal texts, whatever the label
    file: str  # digest of the file that holds it
    version: str  # that brought it in
    first_round: str  # empty for what a person wrote
    ordinal: int  # how many rounds had been concluded when it came in
    last_round: str  # that trained on it
    category: str
    origin: str
    source: str
    weight: float
    scores: Mapping[str, float]
    parent_id: str | None
    mark: Mark | None


@dataclass
class View:
    """The pool at one version: entries by id in the order of their coming, and the ids that stay out."""

    version: str | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    rounds: tuple[RoundFacts, ...] = ()
    _holders: dict[str, str] = field(default_factory=dict)  # key → id

    @property
    def accepted(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.mark is None]

    @property
    def marks(self) -> Counter[str]:
        """How many entries have each mark; accepted ones have none and are not counted."""
        return Counter(entry.mark for entry in self.entries.values() if entry.mark is not None)

    def copy(self) -> Self:
        return replace(self, entries=dict(self.entries), excluded=dict(self.excluded), _holders=dict(self._holders))

    def says_the_same(self, other: "View") -> bool:
        """Whether both hold the same, by whatever versions they came to it."""
        return (self.entries, self.excluded) == (other.entries, other.excluded)

    def apply(self, digest: str, version: Version, read: Callable[[Added], Iterable[Sample]]) -> None:
        """Go on to `version`, whose parent this view is; `read` gives the samples of a file."""
        for id, why in version.excluded.items():
            self.excluded.setdefault(id, why)
            self._remove(id)
        for id, mark in version.marks.items():
            if id in self.entries:
                self.entries[id] = replace(self.entries[id], mark=mark)
        round_id = version.round.round if version.round else ""
        if version.round:
            self.rounds = (*(facts for facts in self.rounds if facts.round != round_id), version.round)
        for file in version.added:
            for sample in read(file):
                self._add(entry_of(sample, file.digest, digest, round_id, len(self.rounds), version.mark))
        for id in version.used:
            if id in self.entries:
                self.entries[id] = replace(self.entries[id], last_round=round_id)
        self.version = digest

    def _add(self, entry: Entry) -> None:
        """The same id or the same text twice is one entry: the first, but an accepted one before a marked one."""
        if entry.id in self.excluded:
            return
        there = self.entries.get(entry.id)
        if there is not None:
            mark = there.mark if entry.mark else None
            self.entries[entry.id] = replace(there, mark=mark, last_round=entry.last_round or there.last_round)
            return
        holder = self._holders.get(entry.key)
        if holder is not None:
            if entry.mark is not None or self.entries[holder].mark is None:
                return
            self._remove(holder)
        self.entries[entry.id] = entry
        self._holders[entry.key] = entry.id

    def _remove(self, id: str) -> None:
        entry = self.entries.pop(id, None)
        if entry is not None:
            del self._holders[entry.key]


def entry_of(sample: Sample, file: str, version: str, round_id: str, ordinal: int, mark: Mark | None) -> Entry:
    """What a pool keeps of `sample` as it comes in."""
    return Entry(
        id=sample.id,
        key=text_key(sample),
        file=file,
        version=version,
        first_round=round_id,
        ordinal=ordinal,
        last_round=round_id,
        category=category_of(sample),
        origin=sample.origin,
        source=sample.source,
        weight=sample.weight,
        scores=sample.scores,
        parent_id=sample.parent_id,
        mark=mark,
    )


def text_key(sample: Sample) -> str:
    """Equal for samples that ask the same, but for case and spacing: the label, answer and system prompt do not count.

    What a passage in the system prompt is asked counts as another question for another passage.
    """
    said = [normalised(turn.content) for turn in sample.messages if turn.role == "user"]
    return digest_of([sample.task, sample.controls.get("passage", ""), said])[:SHORT]


def category_of(sample: Sample) -> str:
    """The stratum of a sample: its label, else the category that it was written for."""
    return sample.label or sample.controls.get("category", "")
