"""All loops of a gateway: implements `core.serving.parts.Hosting`."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from types import TracebackType

from ...errors import ConfigError, ServingError
from ...text import nearest
from ..parts import Health, Lease, Routed, Served
from .loop_host import LoopHost
from .parts import Hosted
from .running import Slot


class Host:
    """Serves loops for as long as it is entered.

    `home` is the state folder: what was served last is remembered there, so that a start needs no registry.
    """

    def __init__(self, loops: Iterable[Hosted], home: Path, cache: Path | None = None) -> None:
        self._hosts: dict[str, LoopHost] = {}
        for hosted in loops:
            if hosted.name in self._hosts:
                raise ConfigError(f"two loops are called `{hosted.name}`; give one another `name` in its loop.yaml")
            self._hosts[hosted.name] = LoopHost(hosted, home, cache or home / "cache" / "engines")
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Host":
        self._running = [asyncio.create_task(host.run()) for host in self._hosts.values()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running = []

    async def settled(self, seconds: float | None = None) -> bool:
        """Wait until every loop has brought up what it could, at most `seconds`; whether all have."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for host in self._hosts.values():
                    await host.settled.wait()
        return all(host.settled.is_set() for host in self._hosts.values())

    @property
    def loops(self) -> Sequence[str]:
        return list(self._hosts)

    def route(self, loop: str, version: str | None, sticky: str) -> Routed:
        """See `Hosting`; also raises ServingError (503) where no version of the loop can be served."""
        return self._host(loop).route(version, sticky)

    def lease(self, loop: str, version: str) -> AbstractAsyncContextManager[Lease]:
        """See `Hosting`. A version that a caller named and that is not there is loaded first."""
        return Held(self._host(loop), version)

    def served(self) -> Sequence[Served]:
        return [one for host in self._hosts.values() for one in host.served()]

    def health(self) -> Sequence[Health]:
        """One for each loop."""
        return [host.health() for host in self._hosts.values()]

    def nudge(self, loop: str | None = None) -> None:
        """A registry may have changed, as a webhook says: look at once. None: at all. From the event loop's thread."""
        for name, host in self._hosts.items():
            if loop in (None, name):
                host.nudge()

    def _host(self, loop: str) -> LoopHost:
        host = self._hosts.get(loop)
        if host is None:
            message = f"the model `{loop[:80]}` is not served here; {nearest(loop[:80], list(self._hosts))}"
            raise ServingError(404, message, code="model_not_found", param="model")
        return host


class Held(AbstractAsyncContextManager[Lease]):
    """A request's hold on a version: nothing waits between finding it and holding it."""

    __slots__ = ("_host", "_slot", "_version")

    def __init__(self, host: LoopHost, version: str) -> None:
        self._host = host
        self._version = version
        self._slot: Slot | None = None

    async def __aenter__(self) -> Lease:
        slot = self._host.slot(self._version)
        if slot is None:
            slot = await self._host.load(self._version)
        slot.held += 1
        self._slot = slot
        return slot.lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._slot is not None
        self._slot.held -= 1
        if isinstance(error, Exception) and not (isinstance(error, ServingError) and error.status < 500):
            self._host.suspect()
