"""Looks at the registry, and says when the champion is another one."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from ...errors import WheelworkError
from .parts import Releases, Standing

log = logging.getLogger(__name__)
SLOWEST = 10  # times `poll`, while the registry does not answer
SLOW = 15.0  # seconds after which it counts as away, though it may still answer


class Watch:
    """What the registry last said: `standing`, None before it said anything; and `trouble` while it says nothing.

    `changed` is called when the one is another, or the other comes or goes.
    """

    def __init__(self, releases: Releases, poll: float, changed: Callable[[], None]) -> None:
        self._releases = releases
        self._poll = poll
        self._changed = changed
        self._nudged = asyncio.Event()
        self.standing: Standing | None = None
        self.trouble = ""
        self.looked = asyncio.Event()
        """Set when the first look has ended, well or not."""

    def nudge(self) -> None:
        """Look now."""
        self._nudged.set()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        failed = 0
        while True:
            self._nudged.clear()
            failed = 0 if await self._look() else failed + 1
            self.looked.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self._poll * min(1 + failed, SLOWEST))

    async def _look(self) -> bool:
        before = self.standing
        asking = asyncio.ensure_future(asyncio.to_thread(self._releases.champion))
        try:
            done, _ = await asyncio.wait({asking}, timeout=SLOW)
            if not done:
                self._say(f"it has not answered for {SLOW:g} s")
            self.standing = await asking
        except Exception as error:  # whatever it is, who is served goes on being served
            if not isinstance(error, WheelworkError):
                log.exception("looking at the registry failed")
            self._say(str(error) or type(error).__name__)
            return False
        if self.standing != before or self.trouble:
            self.trouble = ""
            self._changed()
        return True

    def _say(self, trouble: str) -> None:
        fresh, self.trouble = not self.trouble, trouble
        if fresh:
            self._changed()
