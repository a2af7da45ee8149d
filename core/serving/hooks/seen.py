"""The deliveries that were accepted, so that none is accepted twice: a small SQLite file that survives a kill."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ...errors import WorkspaceError
from ...workspace import explaining_disk_errors
from .verifying import Delivery

FILE = "hooks.db"
MOST = 100_000  # deliveries, about 30 MB; only what is signed comes in, so that nobody without a secret fills it
PATIENCE = 5.0  # seconds for another process to end its writing

_TABLE = """
CREATE TABLE IF NOT EXISTS deliveries (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    loop TEXT NOT NULL, sender TEXT NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL,
    event TEXT NOT NULL, link TEXT NOT NULL, at REAL NOT NULL,
    UNIQUE (loop, sender, id)
)"""
_INDEX = "CREATE INDEX IF NOT EXISTS by_digest ON deliveries (loop, sender, digest)"


class Before(NamedTuple):
    """A delivery that came before. `link` is empty for one that started nothing."""

    id: str
    digest: str
    event: str
    link: str


class Seen:
    """Deliveries by loop and sender; of more than `most` the oldest are forgotten.

    Whatever is forgotten starts no second run as long as Prefect remembers the first: each has the same idempotency
    key. Every method raises WorkspaceError where the file cannot be used; whoever asks then has to refuse.
    """

    def __init__(self, home: Path, most: int = MOST, clock: Callable[[], float] = time.time) -> None:
        self.path = home / FILE
        self._most = most
        self._clock = clock
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def find(self, loop: str, delivery: Delivery) -> Before | None:
        """The one that came under the same id or, of GitHub's, with the same body; the first of them."""
        by_body = delivery.digest if delivery.sender == "github" else ""
        with self._open() as connection:
            row = connection.execute(
                "SELECT id, digest, event, link FROM deliveries"
                " WHERE loop = ? AND sender = ? AND (id = ? OR digest = ?) ORDER BY place LIMIT 1",
                (loop, delivery.sender, delivery.id, by_body),
            ).fetchone()
        return Before(*row) if row else None

    def add(self, loop: str, delivery: Delivery, link: str = "") -> None:
        """Remember a delivery and what it started. One that is known is told the new link, if there is one."""
        with self._open() as connection, connection:
            connection.execute(
                "INSERT INTO deliveries (loop, sender, id, digest, event, link, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (loop, sender, id) DO UPDATE SET link = excluded.link, event = excluded.event"
                " WHERE excluded.link != ''",
                (loop, delivery.sender, delivery.id, delivery.digest, delivery.event, link, self._clock()),
            )
            connection.execute(
                "DELETE FROM deliveries WHERE place <= (SELECT max(place) FROM deliveries) - ?", (self._most,)
            )

    def close(self) -> None:
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; opened anew after it failed."""
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._connected()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                raise WorkspaceError(
                    f"{self.path}: the deliveries of webhooks cannot be kept ({error}); free the disk, or move the file"
                    " away if it is damaged"
                ) from error

    def _connected(self) -> sqlite3.Connection:
        with explaining_disk_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=PATIENCE, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a delivery that was answered is on the disk
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        return connection
