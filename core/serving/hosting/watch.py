"""Looks at the registry, and says when the champion is another one."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from ...errors import WheelworkError
from .parts import Releases, Standing

log = logging.getLogger(__name__)
SLOWEST = 10  # times `poll`, while the registry does not answer


class Watch:
    """What the registry last said, and since when it says nothing.

    `standing` is what was known before until the first answer; `changed` is called when it, or `trouble`, changes.
    """

    def __init__(
        self, releases: Releases, poll: float, changed: Callable[[], None], standing: Standing | None = None
    ) -> None:
        self._releases = releases
        self._poll = poll
        self._changed = changed
        self._nudged = asyncio.Event()
        self.standing = standing
        self.trouble = ""
        self.since = 0.0
        """When the trouble began, seconds since 1970."""
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
        before = (self.standing, bool(self.trouble))
        try:
            self.standing = await asyncio.to_thread(self._releases.champion)
            self.trouble = ""
        except Exception as error:  # whatever it is, who is served goes on being served
            if not isinstance(error, WheelworkError):
                log.exception("looking at the registry failed")
            self.since = self.since if self.trouble else time.time()
            self.trouble = str(error) or type(error).__name__
        if (self.standing, bool(self.trouble)) != before:
            self._changed()
        return not self.trouble
