"""One engine that is up, the versions it answers as, and the requests that hold it."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from ...engines.base import Engine
from ..parts import Lease
from .admission import Admitted
from .parts import Hosted

log = logging.getLogger(__name__)
STEP = 0.02  # seconds between looks whether the last request has gone


class Slot:
    """A version that one engine answers as. Each request that holds it has the same `lease`."""

    __slots__ = ("held", "lease", "running", "since")

    def __init__(self, running: "Running", lease: Lease, since: float) -> None:
        self.running = running
        self.lease = lease
        self.since = since
        self.held = 0


class Running:
    """A started engine. It is closed once, by whoever took it out of service."""

    def __init__(self, engine: Engine, context: AbstractContextManager[Engine]) -> None:
        self.engine = engine
        self.slots: dict[str, Slot] = {}
        self._context = context
        self._closed = False

    @classmethod
    async def start(cls, hosted: Hosted, admitted: Iterable[Admitted], cache: Path) -> "Running":
        """Start the loop's engine with these adapters, in a thread; it can answer, but is asked nothing yet.

        Raises what the engine's settings raise. A start that is cancelled is waited for and closed: threads cannot be
        interrupted, and nobody else would close it.
        """
        adapters = {hosted.adapter_name(one.version): one.adapter for one in admitted}
        context = hosted.engine.serve(hosted.base, adapters, cache)
        entering = asyncio.ensure_future(asyncio.to_thread(context.__enter__))
        try:
            return cls(await asyncio.shield(entering), context)
        except asyncio.CancelledError:
            with suppress(Exception):
                await entering
                await asyncio.to_thread(context.__exit__, None, None, None)
            raise

    def answers_as(self, version: str, adapter: str | None, fingerprint: str, since: float) -> Slot:
        """The slot of a version that this engine answers as, from now on or still; `adapter` None is the base."""
        if (slot := self.slots.get(version)) is None:
            slot = self.slots[version] = Slot(self, Lease(version, self.engine, adapter, fingerprint), since)
        return slot

    async def close(self) -> None:
        """Stop the engine, in a thread. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.to_thread(self._context.__exit__, None, None, None)
        except Exception:  # it is gone either way
            log.exception("an engine did not close as it should")


async def emptied(slots: Iterable[Slot], seconds: float) -> int:
    """Wait until no request holds any of these, at most `seconds`; returns how many still do."""
    watched, clock = list(slots), asyncio.get_running_loop()
    end = clock.time() + seconds
    while (held := sum(slot.held for slot in watched)) and clock.time() < end:
        await asyncio.sleep(STEP)
    return held
