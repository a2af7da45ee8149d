"""Questions that another version is asked too, after the answer: recorded beside it, heard by nobody."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from ...errors import ServingError
from ..parts import Hosting
from .cache import Answer
from .metrics import Figures
from .questions import End, Question, new_id, read_reply
from .replies import TROUBLE
from .settings import Limits

log = logging.getLogger(__name__)


Remember = Callable[[Question, End, str | None], None]
"""Counts and records how a question ended, and which one it mirrored."""


class Shadows:
    """At most so many under way at once for a loop; one more is left out and counted, never queued."""

    def __init__(
        self, hosting: Hosting, remember: Remember, figures: Figures, clock: Callable[[], float] = time.time
    ) -> None:
        self._hosting, self._remember, self._figures, self._clock = hosting, remember, figures, clock
        self._under_way: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Question, limits: Limits) -> None:
        """Ask `question.routed.shadow` in the background."""
        loop = question.loop
        if self._under_way.get(loop, 0) >= limits.shadows:
            self._figures.shadow(loop, "left out")
            return
        self._under_way[loop] = self._under_way.get(loop, 0) + 1
        task = asyncio.get_running_loop().create_task(self._asked(question, limits.seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _asked(self, question: Question, seconds: float) -> None:
        asked, version = question.asked, question.routed.shadow
        assert version is not None
        shadow = replace(
            question, id=new_id(asked.path), at=self._clock(), started=time.perf_counter(), first=None, pieces=[]
        )
        answer: Answer | None = None
        error: ServingError | None = None
        try:
            async with asyncio.timeout(seconds), self._hosting.lease(question.loop, version) as lease:
                answer = read_reply(asked.path, await lease.engine.answer(asked.path, asked.body, lease.adapter))
        except ServingError as refused:
            error = refused
        except TimeoutError:
            error = ServingError(504, "no answer in time", type="server_error", code="timeout")
        except Exception:  # of an engine on trial; the trial is told of it
            log.exception("the version %s of %s failed unheard", version, question.loop)
            error = ServingError(500, TROUBLE, type="server_error")
        finally:
            self._under_way[question.loop] -= 1
        self._figures.shadow(question.loop, "failed" if error else "answered")
        self._remember(shadow, End(version, "shadow", answer, error=error), question.id)
