"""What the gateway calls: exchanges and feedback are taken at once, and one thread writes them down in batches.

Killed at any moment, a process loses what came in the last 100 ms: a batch is committed 50 ms after its first exchange.
While the database is away, locked or full, batches go to the spool; when that is full too, they wait in memory.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import ServingError
from ..quality.personal import DEFAULT_KINDS
from ..serving.exchange import Exchange, Feedback
from ..serving.parts import Health
from .archive import Archive
from .redaction import hasher, redacted, redacted_feedback
from .retention import prune_some
from .settings import TrafficSettings, due
from .spool import Spool
from .trouble import AWAY, is_of_a_row, reason_of

EVERY = 0.05  # seconds between two commits
BATCH = 2000  # exchanges of one commit
AGAIN = 0.5  # seconds until a database that failed is tried again
LOCKED = 0.1  # seconds that the writer waits for a lock of another process
PRUNING = 600.0  # seconds between two looks at what is too old
DEFAULT = TrafficSettings()
REMEMBERED = 50_000  # ids that feedback is found by without asking the database


class Recorder:
    """The traffic of a gateway, kept under `home`; the protocol `Traffic` of `core/serving/parts.py`.

    `loops` are the settings by loop; `pruning` is how many seconds lie between two looks at what is too old. At most
    `capacity` exchanges wait in memory and `spool_bytes` on the disk; beyond that exchanges are dropped and counted,
    and feedback only when there is no exchange left to drop.
    """

    def __init__(
        self,
        home: Path,
        loops: Mapping[str, TrafficSettings] | None = None,
        *,
        capacity: int = 20_000,
        spool_bytes: int = 64 << 20,
        pruning: float = PRUNING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hashed = hasher(home)
        """Hashes who asked, as `Exchange.user` and `Exchange.conversation` want it."""
        self._loops = dict(loops or {})
        self._archive = Archive.of(home, patience=LOCKED)
        self._reader = Archive.of(home, patience=1.0)
        self._spool = Spool(home, spool_bytes)
        self._capacity = capacity
        self._clock = clock
        self._asked: deque[Exchange] = deque()
        self._said: deque[Feedback] = deque()
        self._recent: dict[str, tuple[str, str]] = dict(self._spool.ids())  # id → name of the key, loop
        self._guard = threading.Lock()
        self._wake, self._quiet, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._stored = self._spooled = self._dropped = 0
        self._trouble = ""
        self._away = not self._spool.empty
        self._try_at = 0.0
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()
        self._keeper = threading.Thread(target=self._keep_house, args=(home, pruning), name="retention", daemon=True)
        self._keeper.start()

    # what the gateway asks

    def record(self, exchange: Exchange) -> None:
        """Take an exchange; never waits."""
        with self._guard:
            while len(self._recent) >= REMEMBERED:
                del self._recent[next(iter(self._recent))]
            self._recent[exchange.id] = (exchange.key, exchange.loop)
            if len(self._asked) + len(self._said) >= self._capacity:
                self._dropped += 1
                return
            self._asked.append(exchange)
        self._notify()

    def feedback(self, feedback: Feedback) -> None:
        """Take what a user said. Asks the database only for an exchange that is not among the last 50,000.

        Raises ServingError: 400 where nothing is said, 404 for an unknown exchange, 403 where another key asked it,
        503 where neither database nor memory can take more.
        """
        if all(said is None for said in (feedback.thumb, feedback.rating, feedback.correction, feedback.comment)):
            raise ServingError(400, "this feedback says nothing; give thumb, rating, correction or comment")
        with self._guard:
            recent = self._recent.get(feedback.exchange)
        known = self._looked_up(feedback) if recent is None else recent[0]
        if known and known != feedback.key:
            raise ServingError(
                403,
                "this exchange was asked with another API key; give feedback with that one",
                type="permission_error",
            )
        with self._guard:
            if len(self._asked) + len(self._said) >= self._capacity:
                if not self._asked:
                    raise ServingError(
                        503, "feedback cannot be kept now; send it again later", type="server_error", retry_after=30
                    )
                self._asked.popleft()
                self._dropped += 1
            self._said.append(feedback)
        self._notify()

    def health(self) -> Health:
        if not self._thread.is_alive():
            return Health("traffic", "down", "the writer of the traffic has ended; restart the gateway")
        dropped = f"; {self._dropped} exchanges were dropped" if self._dropped else ""
        if self._away:
            why = self._trouble or "exchanges of an earlier run wait in the spool"
            return Health("traffic", "degraded", f"{why}; exchanges and feedback wait in the spool{dropped}")
        return Health("traffic", "ok", dropped.removeprefix("; "))

    def counts(self) -> Mapping[str, int]:
        """`stored`, `spooled` and not stored yet, `dropped` for good, `waiting` in memory; all of exchanges."""
        with self._guard:
            waiting = len(self._asked)
        return {"stored": self._stored, "spooled": self._spooled, "dropped": self._dropped, "waiting": waiting}

    def due(self, loop: str) -> bool:
        """Whether the traffic of a loop is to be collected now; asks the database."""
        try:
            return due(self._reader.pending(loop, self._clock()), self._settings(loop).collect)
        except AWAY:
            return False

    def flush(self, patience: float = 10.0) -> bool:
        """Wait until what was taken so far is written down; whether it is. For tests and for the end."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with self._guard:
                if not self._asked and not self._said and self._quiet.is_set():
                    return True
            self._notify()
            time.sleep(0.005)
        return False

    def close(self) -> None:
        """Write down what waits, in the database or the spool, and end."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout=30)
        self._keeper.join(timeout=30)
        self._archive.database.close()
        self._reader.database.close()

    # the writer

    def _notify(self) -> None:
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        self._quiet.set()
        while True:
            self._wake.wait(timeout=AGAIN if self._away else 30.0)
            if not self._closing.is_set():
                time.sleep(EVERY)  # others come meanwhile, and are written with the first
            self._wake.clear()
            ending = self._closing.is_set()  # looked at after that: who closes now wakes us again
            self._turn(ending)
            if ending:
                return

    def _turn(self, ending: bool) -> None:
        """Write down all that waits. While the database is away that is in the spool first, then it is tried again."""
        self._quiet.clear()
        while True:
            asked, said = self._drained()
            if self._away:
                asked, said = self._put_away(asked, said)
            if not self._away or ending or time.monotonic() >= self._try_at:
                asked, said = ([], []) if self._stored_all(asked, said) else self._put_away(asked, said)
            if asked or said:
                self._hold(asked, said)
                break
            if not (self._asked or self._said):
                break
        self._quiet.set()

    def _stored_all(self, asked: Sequence[Exchange], said: Sequence[Feedback]) -> bool:
        """Store what the spool has, and these; False where the database is away."""
        started = time.monotonic()
        try:
            if self._away:
                self._spool.take(self._store)
                self._spooled = 0
            self._store(asked, said)
        except Exception as error:  # whatever it is, what was taken goes to the spool, and this thread goes on
            self._trouble = _unwritten(error, self._archive.database.name)
            # one that hangs is tried seldom: nothing is written down meanwhile
            took = time.monotonic() - started
            self._away, self._try_at = True, time.monotonic() + min(60.0, max(AGAIN, 5 * took))
            return False
        self._away, self._trouble = False, ""
        return True

    def _drained(self) -> tuple[list[Exchange], list[Feedback]]:
        """What waits, masked: nothing else leaves the memory."""
        with self._guard:
            asked = [self._asked.popleft() for _ in range(min(BATCH, len(self._asked)))]
            said = [self._said.popleft() for _ in range(len(self._said))]
            of = {one.exchange: self._recent[one.exchange][1] for one in said if one.exchange in self._recent}
        masked = [redacted_feedback(one, self._masking(of.get(one.exchange))) for one in said]
        return [self._masked(one) for one in asked], masked

    def _masked(self, one: Exchange) -> Exchange:
        try:
            return redacted(one, self._settings(one.loop))
        except (RecursionError, ValueError, TypeError):  # what cannot be looked through is not kept
            return one.model_copy(update={"messages": (), "reply": ""})

    def _settings(self, loop: str) -> TrafficSettings:
        return self._loops.get(loop, DEFAULT)

    def _masking(self, loop: str | None) -> TrafficSettings:
        """The settings of a loop; of one that is not known, all that any loop masks."""
        if loop is not None:
            return self._settings(loop)
        kinds = dict.fromkeys([*DEFAULT_KINDS, *(kind for one in self._loops.values() for kind in one.redact)])
        return TrafficSettings(redact=tuple(kinds))

    def _store(self, asked: Sequence[Exchange], said: Sequence[Feedback]) -> None:
        if not asked and not said:
            self._archive.database.opened()
            return
        try:
            self._archive.add(asked, said)
            stored = len(asked)
        except Exception as error:
            if not is_of_a_row(error):
                raise
            stored = sum([self._stored_alone([one], []) for one in asked])
            for feedback in said:
                self._stored_alone([], [feedback])
            self._dropped += len(asked) - stored
        self._stored += stored

    def _stored_alone(self, asked: Sequence[Exchange], said: Sequence[Feedback]) -> bool:
        try:
            self._archive.add(asked, said)
        except Exception as error:
            if not is_of_a_row(error):
                raise
            return False
        return True

    def _put_away(self, asked: list[Exchange], said: list[Feedback]) -> tuple[list[Exchange], list[Feedback]]:
        """Into the spool; what is left is what the disk does not take, and feedback beyond the spool's bound."""
        if not asked and not said:
            return [], []
        try:
            put = self._spool.put(asked, said)
        except Exception as error:
            self._trouble = _unwritten(error, str(self._spool.folder))
            return asked, said
        self._spooled += put.exchanges
        self._dropped += put.dropped
        return [], said[put.feedback :]

    def _hold(self, asked: list[Exchange], said: Sequence[Feedback]) -> None:
        """Back into memory, as far as there is room."""
        with self._guard:
            self._said.extendleft(reversed(said))
            room = max(0, self._capacity - len(self._said) - len(self._asked))
            kept = asked[len(asked) - min(room, len(asked)) :]
            self._asked.extendleft(reversed(kept))
            self._dropped += len(asked) - len(kept)

    def _keep_house(self, home: Path, every: float) -> None:
        """Delete what is too old, a little at a time, in a thread of its own: it may take long to find."""
        with Archive.of(home) as archive:
            more = False
            while not self._closing.wait(min(1.0, every) if more else every):
                try:
                    gone = [prune_some(archive, loop, one, self._clock()) for loop, one in self._loops.items()]
                except AWAY:
                    gone = []
                more = any(gone)

    def _looked_up(self, feedback: Feedback) -> str:
        """The key of an exchange that is not remembered; empty where the database cannot tell, as it is away."""
        try:
            known = self._reader.key_of(feedback.exchange)
        except AWAY:
            return ""  # rather something of nobody than nothing of somebody: a join leaves it out
        if known is None:
            raise ServingError(
                404, f"there is no exchange `{feedback.exchange[:80]}`; name the id of an answer", param="exchange"
            )
        return known


def _unwritten(error: BaseException, what: str) -> str:
    return f"{what} cannot be written ({reason_of(error)})"
