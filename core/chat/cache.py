"""Every reply a model gives is kept under the content of its request: a killed round repeats no call."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from weakref import WeakValueDictionary

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
    """A chat that asks `chat` only what the cache does not hold, equal requests once; counts hits and calls."""

    def __init__(self, chat: Chat, cache: ReplyCache) -> None:
        self._chat = chat
        self._cache = cache
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # while somebody asks or waits
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
        async with self._asking.setdefault(key, asyncio.Lock()):
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
    todo = iter(enumerate(requests))
    replies: dict[int, Reply] = {}
    errors: list[BaseException] = []
    news = asyncio.Event()

    async def work() -> None:
        try:
            for index, request in todo:
                replies[index] = await chat(request)
                news.set()
        except BaseException as error:  # a cancelled call too, or the one who waits for its reply would wait for ever
            errors.append(error)
            news.set()

    workers = [asyncio.ensure_future(work()) for _ in range(min(max(1, chat.parallel), len(requests)))]
    try:
        for index in range(len(requests)):
            while index not in replies:
                if errors:
                    raise errors[0]
                news.clear()
                await news.wait()
            yield replies.pop(index)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def replies_to(
    chat: Chat, requests: Sequence[ChatRequest], progress: Callable[[int], None] = lambda done: None
) -> list[Reply]:
    """All replies, in the order of `requests`; `progress` hears how many are there."""
    replies: list[Reply] = []
    async for reply in ask_all(chat, requests):
        replies.append(reply)
        progress(len(replies))
    return replies


async def ask_and_close(chat: Chat, requests: Sequence[ChatRequest], progress: Callable[[int], None]) -> list[Reply]:
    """All replies of a chat that is not needed after this; its connections are closed."""
    async with aclosing(chat):
        return await replies_to(chat, requests, progress)
