"""Work for a caller ends when its time is over, or when the caller went away."""

import asyncio
from types import TracebackType

from ...errors import ServingError
from .replies import Receive

UNWATCHED = 0.25  # seconds before a caller is watched: most answers are there earlier, and a watch is a task


class Patience:
    """`async with Patience(receive, seconds)`: what is inside is cancelled late, or for nobody.

    Raises ServingError then: 504, or 499 where the caller went away (which nobody will read).
    """

    def __init__(self, receive: Receive, seconds: float, after: float = UNWATCHED) -> None:
        self._receive, self._seconds, self._after = receive, seconds, min(after, seconds)
        self._why: ServingError | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(self._after, self._look)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self._why is not None:
            others = self._task.uncancel()
            if isinstance(error, asyncio.CancelledError) and not others:
                raise self._why from None

    def _end(self, why: ServingError) -> None:
        if self._why is None:
            self._why = why
            self._task.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._watch = loop.create_task(self._watched())
        self._timer = loop.call_later(self._seconds - self._after, self._late)

    def _late(self) -> None:
        self._end(ServingError(504, f"no answer within {self._seconds:g} s", type="server_error", code="timeout"))

    async def _watched(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(ServingError(499, "the caller went away", type="cancelled"))
