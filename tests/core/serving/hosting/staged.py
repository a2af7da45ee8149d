"""A registry, engines and a trial for the tests of hosting: each answer carries the version that gave it."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import DependencyError, ModelError, ServingError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.registry.fingerprint import Fingerprint
from wheelwork.core.registry.journal import Kind
from wheelwork.core.serving.hosting.host import Host
from wheelwork.core.serving.hosting.parts import Hosted, Release, Standing, Trial
from wheelwork.core.serving.hosting.settings import HostSettings
from wheelwork.core.serving.parts import Health, Hosting, Lease, Routed
from wheelwork.tests.core.registry.parts import fingerprint

QUICK = HostSettings(
    poll=0.01, health=0.02, linger=0.05, drain=2, restart=0.02, restart_longest=0.1, retry=0.05, keep_pinned=30,
    pinned_wait=60, warm_up=60,
)  # fmt: skip
STEP = 0.005
BODY = {"messages": [{"role": "user", "content": "hi"}]}


def adapter_folder(folder: Path, number: int) -> Path:
    """An adapter in PEFT's layout that is like no other."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "number": number}))
    save_file({"lora_A": np.full((2, 2), number, dtype=np.float32)}, folder / "adapter_model.safetensors")
    return folder


class FakeReleases:
    """A registry in memory. `down` is what it says instead of an answer, which it gives once `there` is set."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.releases: dict[str, Release] = {}
        self.standing = Standing(None)
        self.down = ""
        self.there = threading.Event()
        self.there.set()
        self.asked: list[str] = []

    def register(self, version: str, **changed: Any) -> Release:
        """A measured version with an adapter of its own; `changed` are fields that are otherwise."""
        folder = adapter_folder(self._place / f"registered-{version}", int(version))
        digest = Adapter.at(folder).digest
        release = Release(version, folder, digest, fingerprint(adapter=digest))._replace(**changed)
        self.releases[version] = release
        return release

    def begin(self, champion: str, *others: str) -> None:
        """Measured versions, of which the first is champion."""
        for version in (champion, *others):
            self.register(version)
        self.promote(champion)

    def promote(self, version: str | None, kind: Kind = "promote") -> None:
        self.standing = Standing(version, kind)

    def champion(self) -> Standing:
        self._answer()
        return self.standing

    def release(self, version: str) -> Release | None:
        self.asked.append(version)
        self._answer()
        return self.releases.get(version)

    def _answer(self) -> None:
        self.there.wait()
        if self.down:
            raise DependencyError(self.down)


class FakeEngine:
    """Answers with the digest of the adapter, or `base`; fails when it is closed or changed meanwhile."""

    def __init__(self, stage: "FakeSettings", adapters: Mapping[str, Adapter]) -> None:
        self._stage = stage
        self.adapters = dict(adapters)
        self.live = stage.live
        self.closed = False
        self.dead = False
        self.silent = 0  # looks at it that get no answer
        self.answered = 0

    async def answer(self, path: str, body: Mapping[str, Any], adapter: str | None) -> dict[str, Any]:
        said = self._says(adapter)
        if said in self._stage.mute:
            raise ServingError(500, "the engine gave no tokens", type="server_error")
        for _ in range(3):
            await asyncio.sleep(self._stage.pace)
            if self._says(adapter) != said:
                raise AssertionError("an adapter changed while it answered")
        self.answered += 1
        return {"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}

    async def stream(self, path: str, body: Mapping[str, Any], adapter: str | None) -> AsyncIterator[dict[str, Any]]:
        yield await self.answer(path, body, adapter)

    async def add(self, name: str, adapter: Adapter) -> None:
        assert self.live
        self._stage.check([adapter])
        self.adapters[name] = adapter

    async def remove(self, name: str) -> None:
        del self.adapters[name]

    async def healthy(self) -> Health:
        if self.silent:
            self.silent -= 1
            raise TimeoutError("it has not answered")
        return Health("engine", "down", "the child was killed") if self.dead else Health("engine", "ok")

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True

    def _says(self, adapter: str | None) -> str:
        if self.closed or self.dead:
            raise ServingError(503, "the engine is gone", type="server_error", retry_after=1)
        if adapter is None:
            return "base"
        if adapter not in self.adapters:
            raise ServingError(404, f"no adapter {adapter}")
        return self.adapters[adapter].digest


class FakeSettings:
    """Starts fake engines. Adapters whose digest is in `unloadable` do not load, those in `mute` do not answer."""

    kind = "fake"

    def __init__(self, *, live: bool = False) -> None:
        self.live = live
        self.pace = 0.0
        self.start_seconds = 0.0
        self.unloadable: set[str] = set()
        self.mute: set[str] = set()
        self.broken = ""
        self.engines: list[FakeEngine] = []
        self.started: list[float] = []

    @property
    def up(self) -> list[FakeEngine]:
        return [engine for engine in self.engines if not engine.closed]

    def check(self, adapters: Collection[Adapter]) -> None:
        if any(adapter.digest in self.unloadable for adapter in adapters):
            raise ModelError("this adapter does not fit the model")

    @contextmanager
    def serve(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path) -> Iterator[Any]:
        time.sleep(self.start_seconds)
        if self.broken:
            raise ModelError(self.broken)
        self.check(list(adapters.values()))
        engine = FakeEngine(self, adapters)
        self.engines.append(engine)
        self.started.append(time.monotonic())
        try:
            yield engine
        finally:
            engine.close()


class FakeTrial:
    """A trial in which `shares` says who is routed whom, by what is sticky."""

    def __init__(self) -> None:
        self.known = False
        self.champion: str | None = None
        self.told: list[tuple[str | None, str | None, str]] = []
        self.stable = "base"
        self.candidate: str | None = None
        self.shadow: str | None = None

    def champion_moved(self, before: str | None, after: str | None, kind: str) -> None:
        self.told.append((before, after, kind))
        if self.known and after == self.champion:
            return
        self.candidate = after if kind == "promote" else None
        self.stable = (before if kind == "promote" else after) or "base"
        self.known, self.champion = True, after

    def wanted(self) -> set[str]:
        return {self.stable} | ({self.candidate} if self.candidate else set())

    def route(self, sticky: str) -> Routed:
        if self.candidate and sticky.startswith("in"):
            return Routed(self.candidate, "candidate")
        return Routed(self.stable, "champion", self.shadow)


class Stage:
    """A loop `tiny` with its registry and engines, and a host on it."""

    def __init__(self, place: Path, *, live: bool = False, settings: HostSettings = QUICK) -> None:
        self.place = place
        self.settings = settings
        self.releases = FakeReleases(place)
        self.engine = FakeSettings(live=live)
        self.engine_now: dict[str, str] = {}
        self.trial: Trial | None = None

    def digest(self, version: str) -> str:
        """What an answer of `version` says."""
        return "base" if version == "base" else self.releases.releases[version].digest

    @asynccontextmanager
    async def hosting(self) -> AsyncIterator[Host]:
        """The host, once it has brought up what it can."""
        async with Host([self.hosted()], self.place / "home") as host:
            assert await host.settled(10)
            yield host

    def hosted(self) -> Hosted:
        return Hosted(
            "tiny",
            ModelFiles("tiny", self.place, None, "base"),
            self.engine,
            self.releases,
            self.found,
            ({"role": "user", "content": "what is up?"},),
            self.settings,
            self.trial,
        )

    def found(self, adapter: str) -> Fingerprint:
        return fingerprint(adapter=adapter, **self.engine_now)

    async def ask(self, host: Hosting, version: str | None = None, sticky: str = "ann") -> str:
        """The version that answered; fails where answer, lease and route are not of one version."""
        routed = host.route("tiny", version, sticky)
        await asyncio.sleep(0)
        async with host.lease("tiny", routed.version) as lease:
            assert lease.version == routed.version
            await self.check(lease)
        return lease.version

    async def check(self, lease: Lease) -> None:
        engine: Any = lease.engine
        reply = await engine.answer("chat/completions", BODY, lease.adapter)
        assert reply["choices"][0]["message"]["content"] == self.digest(lease.version)


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until `holds()`; fails after about `seconds` of this process's own time."""
    for _ in range(int(seconds / STEP)):
        if holds():
            return
        await asyncio.sleep(STEP)
    raise AssertionError("it did not come about")


def champion(host: Hosting) -> str:
    """Who answers whom no trial takes."""
    return host.route("tiny", None, "somebody").version
