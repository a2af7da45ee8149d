"""Every reply a model gives is kept under the content of its request: a killed round repeats no call."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ..errors import WorkspaceError
from ..workspace import explaining_disk_errors
from .messages import Chat, ChatRequest, Reply


class ReplyCache:
    """Replies by key in one SQLite file; each is safe on disk before the next call is made."""

    def __init__(self, path: Path) -> None:
        with explaining_disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def get(self, key: str) -> Reply | None:
        row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return Reply.model_validate_json(row[0]) if row else None

    def put(self, key: str, reply: Reply) -> None:
        try:
            self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, reply.model_dump_json()))
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def close(self) -> None:
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def _explained(self, error: sqlite3.Error) -> WorkspaceError:
        return WorkspaceError(
            f"{self.path}: the reply cache cannot be written ({error}); free space or mend the rights of the folder"
        )


class CachedChat:
    """A chat that asks `chat` only what the cache does not hold; counts hits and calls."""

    def __init__(self, chat: Chat, cache: ReplyCache) -> None:
        self._chat = chat
        self._cache = cache
        self.hits = 0
        self.calls = 0
        self.completion_tokens = 0

    @property
    def fingerprint(self) -> str:
        return self._chat.fingerprint

    @property
    def parallel(self) -> int:
        return self._chat.parallel

    async def __call__(self, request: ChatRequest) -> Reply:
        key = request.key(self._chat.fingerprint)
        if (kept := self._cache.get(key)) is not None:
            self.hits += 1
            return kept
        reply = await self._chat(request)
        self._cache.put(key, reply)
        self.calls += 1
        self.completion_tokens += reply.completion_tokens
        return reply

    async def aclose(self) -> None:
        await self._chat.aclose()


async def ask_all(chat: Chat, requests: Sequence[ChatRequest]) -> AsyncIterator[Reply]:
    """Replies in the order of `requests`, at most `chat.parallel` under way; the first error ends the rest."""
    window = asyncio.Semaphore(max(1, chat.parallel))

    async def ask(request: ChatRequest) -> Reply:
        async with window:
            return await chat(request)

    pending = [asyncio.ensure_future(ask(request)) for request in requests]
    try:
        for future in pending:
            yield await future
    finally:
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
