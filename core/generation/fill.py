"""Filling orders: one call each, more where a reply cannot be read, and a row for everything that was asked for."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from ..chat.gather import ask_all
from ..chat.messages import Chat, Reply
from ..errors import BudgetSpent
from ..memory import uncollected
from ..samples import Sample
from .planning import Order
from .writing import Writing

UNREADABLE = {
    "unreadable",
    "missing_field",
    "empty_field",
    "broken_field",
    "unknown_role",
}  # what a further call may mend


CHUNK = 256  # rows that are made before they are handed on


class Rows:
    """What an asynchronous writer brings, as one plain stream, counted while it runs; read it once.

    The chat is closed at the end. Memory does not grow with the rows.
    """

    def __init__(
        self, stream: AsyncGenerator[Sample, None], chat: Chat, progress: Callable[[int], object] = lambda rows: None
    ) -> None:
        self.count = 0
        self.refused = Counter[str]()  # rows with a reject_reason, by reason
        self._stream = stream
        self._chat = chat
        self._progress = progress

    def __iter__(self) -> Iterator[Sample]:
        with asyncio.Runner() as runner:
            try:
                while chunk := self._chunk(runner):
                    yield from chunk
            finally:
                runner.run(self._close())

    def _chunk(self, runner: asyncio.Runner) -> list[Sample]:
        with uncollected():
            return runner.run(self._next())

    async def _next(self) -> list[Sample]:
        chunk: list[Sample] = []
        async for sample in self._stream:
            chunk.append(sample)
            self.count += 1
            if sample.reject_reason is not None:
                self.refused[sample.reject_reason] += 1
            self._progress(self.count)
            if len(chunk) >= CHUNK:
                break
        return chunk

    async def _close(self) -> None:
        await self._stream.aclose()
        await self._chat.aclose()


async def fill_orders(
    orders: Iterable[Order], writing: Writing, chat: Chat, **provenance: Any
) -> AsyncGenerator[Sample, None]:
    """The rows of all orders, in their order; those with a `reject_reason` are not to be learnt from.

    Each order gives as many as its `choices`: what no reply brought has the reason `no_reply`, and what the budget did
    not reach `budget_spent`.
    """
    async with aclosing(ask_all(_Filler(writing, chat, provenance), orders)) as filled:
        async for samples in filled:
            for sample in samples:
                yield sample


class _Filler:
    """Looks like a chat to `ask_all`, takes orders, and answers with samples."""

    def __init__(self, writing: Writing, chat: Chat, provenance: dict[str, Any]) -> None:
        self._writing = writing
        self._chat = chat
        self._provenance = provenance

    @property
    def parallel(self) -> int:
        return self._chat.parallel

    async def __call__(self, order: Order) -> list[Sample]:
        made: list[Sample] = []
        rubbish: list[Sample] = []
        missing = "no_reply"
        for retry in range(self._writing.settings.retries + 1):
            try:
                reply = await self._chat(self._writing.request(order, retry))
            except BudgetSpent:
                missing = "budget_spent"
                break
            read = await self._read(order, reply)
            rubbish = [sample for sample in read if sample.reject_reason in UNREADABLE]
            made += [sample for sample in read if sample.reject_reason not in UNREADABLE]
            if not rubbish or len(made) >= order.choices:
                break
        made = (made + rubbish)[: order.choices]
        short = order.choices - len(made)
        return made + [self._writing.refused(order, "", missing, **self._provenance) for _ in range(short)]

    async def _read(self, order: Order, reply: Reply) -> list[Sample]:
        if self._writing.kind == "code":  # whose tests run in a process of their own, for seconds
            return await asyncio.to_thread(lambda: list(self._writing.read(order, reply, **self._provenance)))
        return list(self._writing.read(order, reply, **self._provenance))
