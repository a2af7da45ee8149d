"""A gateway before an engine that answers at once; hosting, traffic and hooks are those of `wheelwork serve`.

    python -m wheelwork.benchmarks.serving_gateway HOME ENGINE_PORT [--slots N --service MS] [--cache] [--hooks]

prints its port when it is ready. Who is champion stands in `HOME/champion`; hooks that start something are lines of
`HOME/started`.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI
from wheelwork.core.chat.transport import Sent
from wheelwork.core.chat.wire import Wire
from wheelwork.core.engines.base import Adapter, EngineHealth
from wheelwork.core.serving.gateway.application import application
from wheelwork.core.serving.gateway.cache import Cache
from wheelwork.core.serving.gateway.keys import StoredKeys
from wheelwork.core.serving.gateway.server import bound, run
from wheelwork.core.serving.gateway.settings import Door, GatewaySettings

LOOP = "bench"


class MockEngine:
    """Asks the mock over HTTP, as the engine `vllm` would, in `slots` places of `service` seconds each."""

    live = True

    def __init__(self, port: int, slots: int, service: float) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._wire, self._service = Wire(30), service
        self._slots = asyncio.Semaphore(slots) if slots else None
        self._adapters: set[str] = set()

    async def answer(self, path: str, body: Mapping[str, Any], adapter: str | None) -> dict[str, Any]:
        if self._slots is None:
            return await self._asked(body, adapter)
        async with self._slots:
            await asyncio.sleep(self._service)
            return await self._asked(body, adapter)

    async def _asked(self, body: Mapping[str, Any], adapter: str | None) -> dict[str, Any]:
        name = adapter or "base"
        sent = Sent("POST", self._url, {"Content-Type": "application/json"}, orjson.dumps({**body, "model": name}))
        received = await self._wire(sent)
        told: dict[str, Any] = orjson.loads(received.body)
        told["choices"][0]["message"]["content"] = told["model"]  # who answered, as the engine says
        return told

    async def stream(self, path: str, body: Mapping[str, Any], adapter: str | None) -> AsyncIterator[dict[str, Any]]:
        told = await self.answer(path, body, adapter)
        yield {"choices": [{"index": 0, "delta": told["choices"][0]["message"], "finish_reason": "stop"}]}

    async def add(self, name: str, adapter: Adapter) -> None:
        self._adapters.add(name)

    async def remove(self, name: str) -> None:
        self._adapters.discard(name)

    async def healthy(self) -> EngineHealth:
        return EngineHealth("ok")

    def chat(self, adapter: str | None = None, *, exact: bool = False) -> Any:
        raise NotImplementedError("rounds do not ask the mock")

    def close(self) -> None:
        pass


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("home", type=Path)
    options.add_argument("engine", type=int)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--slots", type=int, default=0)
    options.add_argument("--service", type=float, default=0.0, help="milliseconds")
    options.add_argument("--cache", action="store_true")
    options.add_argument("--hooks", action="store_true")
    options.add_argument("--profile", type=Path, help="write a profile of the process to this file at its end")
    chosen = options.parse_args()
    opened = bound("127.0.0.1", chosen.port)
    with _profiled(chosen.profile):
        run(opened, Door(), lambda: _parts(chosen), lambda: print(opened.getsockname()[1], flush=True))


@asynccontextmanager
async def _parts(chosen: Any) -> AsyncIterator[FastAPI]:
    from wheelwork.core.serving.hosting.host import Host
    from wheelwork.core.traffic.recorder import Recorder

    engine = MockEngine(chosen.engine, chosen.slots, chosen.service / 1000)
    recorder = Recorder(chosen.home)
    serving = GatewaySettings(caches={LOOP: Cache(enabled=True)} if chosen.cache else {})
    async with Host([_hosted(chosen.home, engine)], chosen.home) as host:
        await host.settled(30)
        yield application(
            host, recorder, serving, StoredKeys(chosen.home / "keys.json", time.time),
            _hooks(chosen.home) if chosen.hooks else None, hashed=recorder.hashed,
        )  # fmt: skip
    recorder.close()


def _hosted(home: Path, engine: MockEngine) -> Any:
    """The loop as hosting takes it: every version has the same few bytes as adapter."""
    from wheelwork.core.models.store import ModelFiles
    from wheelwork.core.registry.fingerprint import Fingerprint
    from wheelwork.core.serving.hosting.parts import Hosted, Release, Standing

    def fingerprint(adapter: str) -> Fingerprint:
        told = dict.fromkeys(Fingerprint.model_fields, "") | {"engine": "mock", "adapter": adapter}
        return Fingerprint.model_validate(told)

    class Settings:
        @contextmanager
        def serve(self, model: ModelFiles, adapters: dict[str, Adapter], cache: Path) -> Iterator[MockEngine]:
            yield engine

    class Releases:
        def champion(self) -> Standing:
            return Standing((home / "champion").read_text())

        def release(self, version: str) -> Release | None:
            digest = Adapter.at(home / "adapter").digest
            return Release(version, home / "adapter", digest, fingerprint(digest))

    files = ModelFiles("mock", home, None, "mock")
    asked = ({"role": "user", "content": "hello"},)
    return Hosted(LOOP, files, Settings(), Releases(), fingerprint, asked)  # type: ignore[arg-type]


def _hooks(home: Path) -> Any:
    from wheelwork.core.serving.hooks.incoming import Hooked, Hooks
    from wheelwork.core.serving.hooks.secrets import Secrets
    from wheelwork.core.serving.hooks.seen import Seen
    from wheelwork.core.serving.hooks.settings import HookSettings

    async def start(deployment: str, parameters: Mapping[str, Any], key: str) -> str:
        with (home / "started").open("a") as stream:
            stream.write(f"{key}\n")
        return "http://127.0.0.1/run"

    settings = HookSettings.model_validate({"events": {"round": {"deployment": "improve/on-demand"}}})
    return Hooks({LOOP: Hooked(settings, LOOP)}, Secrets(home), Seen(home), start)


@contextmanager
def _profiled(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(file)


if __name__ == "__main__":
    main()
