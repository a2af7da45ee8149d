"""The engine that answers, those that drain, and the step from one to the next."""

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ..exchange import BASE
from .admission import Admitted
from .parts import Hosted
from .running import Running, Slot, emptied
from .warming import A_WORD, NotReadyError, ask_first, in_words, is_lasting

log = logging.getLogger(__name__)
AT_ONCE = 1  # engines that may still drain while another one starts: memory holds the base once for each
CLOSING = 5.0  # seconds that requests have at the end
LOST = 1.0  # and those of an engine that died, to be told so


class Fleet:
    """The engines of one loop. `table` is who can be asked: it is replaced, never changed, so that a swap is one step.

    Where the engine is live, adapters come and go in it (`add`, `drop`); else each change is another engine
    (`replace`).
    """

    def __init__(self, hosted: Hosted, cache: Path) -> None:
        self._hosted = hosted
        self._cache = cache
        self._leaving: dict[asyncio.Task[None], tuple[Slot, ...]] = {}
        self._draining = 0
        self._changing = asyncio.Lock()  # of a live engine's adapters, one change after another
        self._fading: dict[str, Slot] = {}
        self.running: Running | None = None
        self.table: Mapping[str, Slot] = {}
        self.load_seconds = 1.0
        """What the last start took."""

    def slot(self, version: str) -> Slot | None:
        """Who answers as `version`; one that was just replaced still does, for requests that were routed before."""
        return self.table.get(version) or self._fading.get(version)

    async def replace(self, admitted: Sequence[Admitted], new: Collection[str]) -> None:
        """Start an engine with these adapters, ask each version, move traffic to it at once, drain the one before.

        The most wanted of `admitted` comes first. `new` are the versions that never answered before. Raises
        NotReadyError; then nothing has changed.
        """
        while self._draining > AT_ONCE:
            await asyncio.wait(self._leaving, return_when=asyncio.FIRST_COMPLETED)
        began = time.monotonic()
        running = await self._start(admitted, new)
        try:
            await self._warm(running, admitted, new)
            table = await self._slots(running, admitted)
        except BaseException:
            await asyncio.shield(running.close())
            raise
        self.load_seconds = time.monotonic() - began
        before, self.running, self.table = self.running, running, table
        if before is not None:
            settings = self._hosted.settings
            self._fading.update(before.slots)
            self._spawn(self._drain(before, settings.linger, settings.drain), before.slots.values())

    async def add(self, admitted: Admitted) -> None:
        """Put an adapter into the running, live engine, ask it, and let it be asked. Raises NotReadyError."""
        running, name = self.running, self._hosted.adapter_name(admitted.version)
        assert running is not None and running.engine.live
        async with self._changing:
            try:
                await running.engine.add(name, admitted.adapter)
                await ask_first(running.engine, name, self._hosted, self._hosted.question)
            except Exception as error:
                await self._take_out(running, name)
                if (await state_of(running))[0] == "down":
                    raise NotReadyError(in_words(error), lasting=False) from error
                lasting = error.lasting if isinstance(error, NotReadyError) else is_lasting(error)
                raise NotReadyError(in_words(error), (admitted.version,), lasting=lasting) from error
            if self.running is running:
                slot = running.answers_as(admitted.version, name, admitted.fingerprint.digest, time.time())
                self.table = {**self.table, admitted.version: slot}

    def drop(self, version: str) -> None:
        """Let a version of the running, live engine be asked no more; its adapter leaves when the last request has."""
        slot = self.table[version]
        self.table = {name: one for name, one in self.table.items() if name != version}
        self._fading[version] = slot
        self._spawn(self._drain_slot(slot), [slot])

    def lose(self, running: Running) -> None:
        """The engine died: nothing is asked of it any more."""
        if self.running is running:
            self.running, self.table = None, {}
        self._fade_out(running.slots.values())
        self._spawn(self._drain(running, 0.0, LOST), [])

    async def close(self) -> None:
        """Close all engines; requests that still hold one have a few seconds."""
        slots = {slot for held in (self.table.values(), *self._leaving.values()) for slot in held}
        await emptied(slots, min(CLOSING, self._hosted.settings.drain))
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        running, self.running, self.table = self.running, None, {}
        if running is not None:
            await running.close()

    async def _start(self, admitted: Sequence[Admitted], new: Collection[str]) -> Running:
        try:
            return await Running.start(self._hosted, admitted, self._cache)
        except ModelError as error:
            raise NotReadyError(in_words(error), tuple(new)) from error
        except Exception as error:  # no memory, no port, no server: a version is not at fault
            raise NotReadyError(in_words(error), lasting=False) from error

    async def _warm(self, running: Running, admitted: Sequence[Admitted], new: Collection[str]) -> None:
        """The base first, then who answered elsewhere: where these do not answer, no new version is at fault.

        Whoever will have most of the traffic is asked the loop's question, so that its prompt has been read; the
        others a word, for beside a busy engine each reading of a prompt takes seconds.
        """
        most, whole = admitted[0] if admitted else None, self._hosted.question
        await ask_first(running.engine, None, self._hosted, A_WORD if most else whole)
        for one in sorted(admitted, key=lambda one: (one.version in new, one is most)):
            question = whole if one is most else A_WORD
            try:
                await ask_first(running.engine, self._hosted.adapter_name(one.version), self._hosted, question)
            except NotReadyError as error:
                blamed = (one.version,) if one.version in new else ()
                raise NotReadyError(error.reason, blamed, lasting=error.lasting) from error

    async def _slots(self, running: Running, admitted: Sequence[Admitted]) -> dict[str, Slot]:
        try:
            base = await asyncio.to_thread(self._hosted.fingerprint, "")
        except ModelError as error:
            raise NotReadyError(in_words(error)) from error
        now = time.time()
        for one in admitted:
            running.answers_as(one.version, self._hosted.adapter_name(one.version), one.fingerprint.digest, now)
        running.answers_as(BASE, None, base.digest, now)
        return dict(running.slots)

    async def _drain(self, running: Running, linger: float, seconds: float) -> None:
        self._draining += 1
        try:
            await asyncio.sleep(linger)
            self._fade_out(running.slots.values())
            if left := await emptied(running.slots.values(), seconds):
                log.warning("%s: an engine is closed with %d requests under way", self._hosted.name, left)
        finally:
            self._fade_out(running.slots.values())
            await asyncio.shield(running.close())
            self._draining -= 1

    async def _drain_slot(self, slot: Slot) -> None:
        version, adapter = slot.lease.version, slot.lease.adapter
        await asyncio.sleep(self._hosted.settings.linger)
        if self.table.get(version) is slot:  # it was wanted again
            return
        self._fade_out([slot])
        await emptied([slot], self._hosted.settings.drain)
        async with self._changing:
            if self.slot(version) is None and adapter is not None:
                slot.running.slots.pop(version, None)
                await self._take_out(slot.running, adapter)

    async def _take_out(self, running: Running, name: str) -> None:
        try:
            await running.engine.remove(name)
        except Exception as error:  # it was never there, or the engine is gone
            log.info("%s: the adapter %s was not taken out (%s)", self._hosted.name, name, in_words(error))

    def _fade_out(self, slots: Collection[Slot]) -> None:
        gone = set(map(id, slots))
        self._fading = {name: slot for name, slot in self._fading.items() if id(slot) not in gone}

    def _spawn(self, work: Coroutine[Any, Any, None], slots: Iterable[Slot]) -> None:
        """Go on with `work` beside all else; `slots` are those whose requests it waits for."""
        task = asyncio.ensure_future(work)
        self._leaving[task] = tuple(slots)
        task.add_done_callback(lambda done: self._leaving.pop(done, None))


async def state_of(running: Running, seconds: float = 10.0) -> tuple[str, str]:
    """How the engine says it is; `unknown` where it does not say so in time."""
    try:
        async with asyncio.timeout(seconds):
            told = await running.engine.healthy()
    except Exception as error:
        return "unknown", in_words(error)
    return told.state, told.note
