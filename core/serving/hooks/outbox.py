"""The notices that are still to be sent: a small SQLite file, so that a kill loses none.

Each is kept until its receiver took it or until it is given up. It keeps its id over all attempts, and over a kill
between an answer and its being written down: a receiver may see a notice twice, and can tell by `webhook-id`.
"""

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from ...errors import WorkspaceError
from ...workspace import explaining_disk_errors
from .notices import Notice
from .settings import Receiver

FILE = "notices.db"
MOST = 10_000  # notices that wait; beyond, the oldest are given up
CLAIM = 120.0  # seconds that a notice is left to the process that is sending it; longer than a timeout may be
_COLUMNS = "id, receiver, body, attempts, key"
_TABLE = """
CREATE TABLE IF NOT EXISTS notices (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE, receiver TEXT NOT NULL, body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
    note TEXT NOT NULL DEFAULT ''
)"""


class Waiting(NamedTuple):
    """A notice for one receiver."""

    id: str
    receiver: Receiver
    body: str
    attempts: int
    key: str


class Outbox:
    """The notices of a state folder. Methods raise WorkspaceError where the file cannot be used."""

    def __init__(self, home: Path, most: int = MOST) -> None:
        self.path = home / FILE
        self._most = most

    def put(self, notice: Notice, receivers: Sequence[Receiver], key: str) -> int:
        """Lay a notice down for those of `receivers` that want it; how many do.

        `key` names what happened: laid down twice, as by a task that is tried again, it is sent once to each.
        """
        wanting = [receiver for receiver in receivers if notice.event in receiver.events]
        with self._changing() as connection:
            for receiver in wanting:
                connection.execute(
                    "INSERT OR IGNORE INTO notices (id, key, receiver, body, due) VALUES (?, ?, ?, ?, ?)",
                    (
                        f"msg_{uuid.uuid4().hex}", f"{key} {receiver.url}", receiver.model_dump_json(),
                        notice.body(), notice.at,
                    ),
                )  # fmt: skip
            connection.execute("DELETE FROM notices WHERE place <= (SELECT max(place) FROM notices) - ?", (self._most,))
        return len(wanting)

    def claim(self, now: float, most: int = 100) -> list[Waiting]:
        """The notices that are due, the oldest first; no other process gets them for two minutes."""
        if not self.path.exists():
            return []
        with self._changing() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM notices WHERE state = 'waiting' AND due <= ? ORDER BY place LIMIT ?",
                (now, most),
            ).fetchall()
            connection.executemany("UPDATE notices SET due = ? WHERE id = ?", [(now + CLAIM, row[0]) for row in rows])
        return [Waiting(row[0], Receiver.model_validate_json(row[1]), *row[2:]) for row in rows]

    def sent(self, notice: Waiting) -> None:
        """Its receiver took it. It stays as a line, so that the same is not laid down again."""
        self._end(notice, "sent", "")

    def given_up(self, notice: Waiting, why: str) -> None:
        self._end(notice, "given up", why)

    def later(self, notice: Waiting, due: float, why: str) -> None:
        """An attempt failed; try again when `due`."""
        with self._changing() as connection:
            connection.execute(
                "UPDATE notices SET attempts = attempts + 1, due = ?, note = ? WHERE id = ?", (due, why, notice.id)
            )

    def counts(self) -> dict[str, int]:
        """How many wait, were sent, were given up."""
        if not self.path.exists():
            return {}
        with self._changing() as connection:
            return dict(connection.execute("SELECT state, count(*) FROM notices GROUP BY state").fetchall())

    def _end(self, notice: Waiting, state: str, note: str) -> None:
        with self._changing() as connection:
            connection.execute(
                "UPDATE notices SET state = ?, note = ?, attempts = attempts + 1, body = '' WHERE id = ?",
                (state, note, notice.id),
            )

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all."""
        with explaining_disk_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_TABLE)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise WorkspaceError(f"{self.path}: notices cannot be kept ({error}); free the disk") from error
