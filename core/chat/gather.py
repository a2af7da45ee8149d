"""Many requests at once, their replies in order, and never more of either in memory than a window."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from ..errors import BudgetSpent
from .messages import Chat, ChatRequest, Reply

WINDOW = 4  # times `parallel`: so far may the others run ahead of the slowest call …
SMALLEST_WINDOW = 64  # … of a narrow chat too


Request = TypeVar("Request")
Answer = TypeVar("Answer")
In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Asked(Protocol[In, Out]):
    """What `ask_all` asks: a Chat, or whatever makes one answer of one request and is `parallel` wide."""

    @property
    def parallel(self) -> int: ...

    async def __call__(self, request: In, /) -> Out: ...


async def ask_all(chat: Asked[Request, Answer], requests: Iterable[Request]) -> AsyncGenerator[Answer, None]:
    """Replies in the order of `requests`, at most `chat.parallel` under way; the first error ends the rest.

    `requests` is drawn from as calls begin, at most max(4 × parallel, 64) ahead of the reply that is read next.
    BudgetSpent ends differently: no further call begins, those under way end, every reply before the first request
    that was not made is given out, and then it is raised.
    """
    gathering = _Gathering(chat, requests)
    workers = [asyncio.ensure_future(gathering.work()) for _ in range(gathering.workers)]
    try:
        while await gathering.ready():
            yield gathering.take()
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _Gathering(Generic[Request, Answer]):
    """What the workers of one `ask_all` share with its reader."""

    def __init__(self, chat: Asked[Request, Answer], requests: Iterable[Request]) -> None:
        self._chat = chat
        self._todo = enumerate(requests)
        self.workers = max(1, chat.parallel)  # that have not ended
        self._window = max(WINDOW * chat.parallel, SMALLEST_WINDOW)
        self._replies: dict[int, Answer] = {}
        self._given = 0
        self._error: BaseException | None = None
        self._spent: BudgetSpent | None = None
        self._news = asyncio.Event()  # for the reader
        self._room = asyncio.Event()  # for workers that are a window ahead
        self._begun = 0

    async def work(self) -> None:
        try:
            while self._spent is None:
                if self._begun - self._given >= self._window:
                    self._room.clear()
                    await self._room.wait()
                    continue
                if (job := next(self._todo, None)) is None:
                    break
                self._begun += 1
                self._replies[job[0]] = await self._chat(job[1])
                self._news.set()
        except BudgetSpent as spent:
            self._spent = self._spent or spent
            self._room.set()
        except BaseException as error:  # a cancelled call too, or the one who waits for its reply would wait for ever
            self._error = self._error or error
        self.workers -= 1
        self._news.set()

    async def ready(self) -> bool:
        """Wait until the next reply in order is there; False after the last one. Raises what a call raised."""
        while self._given not in self._replies:
            if self._error is not None:
                raise self._error
            self._news.clear()
            if not self.workers:
                if self._spent is not None:
                    raise self._spent
                return False
            await self._news.wait()
        return True

    def take(self) -> Answer:
        reply = self._replies.pop(self._given)
        self._given += 1
        self._room.set()
        return reply


async def replies_to(
    chat: Chat, requests: Iterable[ChatRequest], progress: Callable[[int], None] = lambda done: None
) -> list[Reply]:
    """All replies, in the order of `requests`; `progress` hears how many are there."""
    replies: list[Reply] = []
    async for reply in ask_all(chat, requests):
        replies.append(reply)
        progress(len(replies))
    return replies


async def ask_and_close(chat: Chat, requests: Iterable[ChatRequest], progress: Callable[[int], None]) -> list[Reply]:
    """All replies of a chat that is not needed after this; its connections are closed."""
    async with aclosing(chat):
        return await replies_to(chat, requests, progress)
