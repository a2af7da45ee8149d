"""One mover at a time, also where several machines share an MLflow server, which has neither locks nor transactions.

A mover first writes a tag of its own at the registered model, its claim, then reads all claims. It goes on only if
there is no other; else it takes its claim back, waits, and tries again. Of two that write before either reads, each
sees the other's, so at most one goes on (after Dekker's rule for two processes). It rests on one thing: that a tag
which was written is seen by whoever reads later, as with one database.

A process that was killed leaves its claim. One of this state folder is taken away at once, as whoever claims holds the
folder's lock; one of this machine when its process is gone; one of another machine when it is older than LONGEST, by
the clocks of both.
"""

import json
import os
import platform
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

from ..errors import BusyError
from ..workspace import write_text

PREFIX = "wheelwork.claim."
LONGEST = 600.0  # seconds after which a claim of another machine is taken for left behind
PATIENCE = 60.0  # seconds that a mover waits for others


class Tags(Protocol):
    """The tags of a loop's registered model."""

    def tags(self) -> Mapping[str, str]: ...

    def tag(self, name: str, value: str | None) -> None:
        """Set a tag; None takes it away, also where there is none."""
        ...


class Place(NamedTuple):
    """Where a mover works: its state folder, by an id that no other has, and its machine and process."""

    folder: str
    machine: str
    address: str  # of its network card: names of machines are not always their own
    process: int

    @classmethod
    def of(cls, registry: Path) -> "Place":
        """The place whose registry folder is `registry`, where its id is kept. Raises WorkspaceError."""
        file = registry / "place.id"
        if not file.exists():
            write_text(file, uuid.uuid4().hex + "\n")
        folder = file.read_text(encoding="utf-8").strip()
        return cls(folder, platform.node(), f"{uuid.getnode():x}", os.getpid())


class Claim:
    """What is held while aliases are moved."""

    def __init__(self, since: float, clock: Callable[[], float]) -> None:
        self._since = since
        self._clock = clock

    @property
    def stale(self) -> bool:
        """Whether another machine may soon take it for left behind: then nothing may be moved under it."""
        return self._clock() - self._since > LONGEST / 2


@contextmanager
def claimed(
    tags: Tags,
    loop: str,
    place: Place,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    patience: float = PATIENCE,
) -> Iterator[Claim]:
    """Hold the only claim on the loop's aliases. Raises BusyError when others do for longer than `patience` seconds."""
    name = f"{PREFIX}{uuid.uuid4().hex}"
    waited = 0.0
    while True:
        since = clock()
        tags.tag(name, json.dumps({**place._asdict(), "at": since}))
        try:
            others = [other for other, told in tags.tags().items() if other.startswith(PREFIX) and other != name]
            held = [other for other in others if not _left_behind(tags, other, place, clock())]
            if not held:
                yield Claim(since, clock)
                return
        finally:
            tags.tag(name, None)
        if waited >= patience:
            raise BusyError(
                f"the aliases of `{loop}` are being moved from another place for more than {patience:.0f} s; wait for "
                "it, then run the command again"
            )
        pause = random.uniform(0.02, 0.3)
        sleep(pause)
        waited += pause


def _left_behind(tags: Tags, name: str, place: Place, now: float) -> bool:
    """Whether a claim is nobody's any more; then it is taken away."""
    told = tags.tags().get(name)
    if told is None:
        return True
    try:
        claim = json.loads(told)
        ours = (claim["folder"], claim["machine"]) == (place.folder, place.machine)
        here = (claim["machine"], claim["address"]) == (place.machine, place.address)
        dead = here and not psutil.pid_exists(int(claim["process"]))
        gone = ours or dead or now - float(claim["at"]) > LONGEST
    except (ValueError, KeyError, TypeError):
        gone = True  # no claim of ours
    if gone:
        tags.tag(name, None)
    return gone
