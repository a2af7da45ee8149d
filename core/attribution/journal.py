"""Which attribution each round of a loop left, and which one it read: a log that is only ever added to.

    <home>/attributions/<loop>/log.jsonl    a line for each round that ended

So a round that is given again reads what it read at first, though its own attribution is there by now.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from ..artifacts import ArtifactStore
from ..lines import add_lines, read_lines
from ..settings import Setting
from ..workspace import locked
from .findings import Attribution

PATIENCE = 60.0  # seconds that a line waits for another to be written


class Entry(Setting):
    """One round that ended."""

    at: str = Field(description="time in UTC, ISO 8601")
    round: str = Field(description="id of the round")
    attribution: str | None = Field(description="digest of what it found; None where nothing was measured")
    followed: str | None = Field(description="digest of what its plan read; None where it read nothing")


class Journal:
    """The attributions of the loop called `loop` in the state folder `home`. Reading makes no file."""

    def __init__(self, home: Path, loop: str, clock: Callable[[], float] = time.time) -> None:
        self.path = home / "attributions" / loop / "log.jsonl"
        self._store = ArtifactStore(str(home / "artifacts"))
        self._lock = home / "locks" / f"{loop}.attributions.lock"  # no loop's name has a dot
        self._busy = f"the attributions of `{loop}` are being written; try again"
        self._clock = clock

    def entries(self) -> list[Entry]:
        """The rounds that ended, oldest first; a last line that a kill cut short does not count.

        Raises DataError for a line that is none.
        """
        return read_lines(self.path, Entry, "the attributions")

    def read_by(self, round_id: str) -> str | None:
        """What a round follows: what it did when it ended before, else what the last other round found."""
        entries = self.entries()
        if before := [entry for entry in entries if entry.round == round_id]:
            return before[0].followed
        found = [entry.attribution for entry in entries if entry.attribution is not None]
        return found[-1] if found else None

    def attribution(self, digest: str) -> Attribution:
        """What was found, by its digest. Raises DataError where it is missing or altered."""
        return Attribution.model_validate(self._store.read_json(self._store.json_at(digest)))

    def record(self, round_id: str, attribution: str | None, followed: str | None) -> None:
        """Add the line of a round; one that ended like this before leaves no second one."""
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        entry = Entry(at=at, round=round_id, attribution=attribution, followed=followed)
        with locked(self._lock, self._busy, PATIENCE):
            same = {"round", "attribution", "followed"}
            if any(one.model_dump(include=same) == entry.model_dump(include=same) for one in self.entries()):
                return
            add_lines(self.path, [entry])
