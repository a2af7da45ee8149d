"""Every reply a model gives is kept under the content of its request: a killed round repeats no call."""

import asyncio
import sqlite3
from pathlib import Path
from weakref import WeakValueDictionary

from ..errors import WorkspaceError
from ..workspace import explaining_disk_errors
from .gather import ask_all, ask_and_close, replies_to
from .messages import Chat, ChatRequest, Reply

__all__ = ["CachedChat", "ReplyCache", "ask_all", "ask_and_close", "replies_to"]

INSERT = "INSERT OR REPLACE INTO replies VALUES (?, ?)"
PAGES_BEFORE_CHECKPOINT = 8192  # of 4 KB; keys are hashes, so that each reply changes another page of their index
PAGE_CACHE_KB = 32_000


class ReplyCache:
    """Replies by key in one SQLite file; each is in the file before its caller goes on.

    A killed process loses nothing that `put` or `keep` returned from. When the machine itself goes down, the replies
    of the last seconds may be lost (since SQLite's last checkpoint), never the file.
    """

    def __init__(self, path: Path) -> None:
        with explaining_disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._pending: list[tuple[str, str, asyncio.Future[None]]] = []
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint={PAGES_BEFORE_CHECKPOINT}")
            self._db.execute(f"PRAGMA cache_size=-{PAGE_CACHE_KB}")
            self._db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def get(self, key: str) -> Reply | None:
        row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return Reply.model_validate_json(row[0]) if row else None

    def put(self, key: str, reply: Reply) -> None:
        """Write one reply."""
        self._write([(key, _to_json(reply))])

    async def keep(self, key: str, reply: Reply) -> None:
        """Write one reply together with all others that come in the same moment, in one transaction."""
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._pending.append((key, _to_json(reply), written))
        loop.call_soon(self._write_pending)  # the first of the moment writes for all
        await written

    def close(self) -> None:
        self._write_pending()
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def _write_pending(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        problem: Exception | None = None
        try:
            self._write([(key, reply) for key, reply, _ in pending])
        except Exception as error:  # whatever it is, those who wait are to hear it
            problem = error
        for _, _, written in pending:
            if written.done():  # its caller was cancelled
                continue
            if problem is None:
                written.set_result(None)
            else:
                written.set_exception(problem)

    def _write(self, rows: list[tuple[str, str]]) -> None:
        try:
            if len(rows) == 1:
                self._db.execute(INSERT, rows[0])
            elif rows:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    self._db.executemany(INSERT, rows)
                    self._db.execute("COMMIT")
                except sqlite3.Error:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> WorkspaceError:
        return WorkspaceError(
            f"{self.path}: the reply cache cannot be written ({error}); free space or mend the rights of the folder"
        )


def _to_json(reply: Reply) -> str:
    return reply.model_dump_json(exclude_defaults=True)


class CachedChat:
    """A chat that asks `chat` only what the cache does not hold, equal requests once; counts hits and calls."""

    def __init__(self, chat: Chat, cache: ReplyCache) -> None:
        self._chat = chat
        self._cache = cache
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # while somebody asks or waits
        self.hits = 0
        self.calls = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    @property
    def fingerprint(self) -> str:
        return self._chat.fingerprint

    @property
    def parallel(self) -> int:
        return self._chat.parallel

    async def __call__(self, request: ChatRequest) -> Reply:
        key = request.key(self._chat.fingerprint)
        async with self._asking.setdefault(key, asyncio.Lock()):
            if (kept := self._cache.get(key)) is not None:
                self.hits += 1
                return kept
            reply = await self._chat(request)
            await self._cache.keep(key, reply)
            self.calls += 1
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
            return reply

    async def aclose(self) -> None:
        await self._chat.aclose()
