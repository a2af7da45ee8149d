"""Stand-ins for what lies behind the gateway, and ways to ask it: in this process, or over a socket."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from fastapi import FastAPI
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.exchange import BASE, Exchange, Feedback
from wheelwork.core.serving.gateway.application import application
from wheelwork.core.serving.gateway.keys import StoredKeys
from wheelwork.core.serving.gateway.names import hasher
from wheelwork.core.serving.gateway.server import Server, _config, bound
from wheelwork.core.serving.gateway.settings import GatewaySettings
from wheelwork.core.serving.parts import Health, Lease, Routed, Served

ASKED = {"model": "router", "messages": [{"role": "user", "content": "hello there"}]}


class EchoEngine:
    """Says the last message back, with the adapter's name before it; `before` may wait or raise."""

    live = True

    def __init__(self, before: Callable[[], Any] | None = None) -> None:
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        self.closed_streams = 0
        self._before = before

    async def answer(self, path: str, body: Mapping[str, Any], adapter: str | None) -> dict[str, Any]:
        self.asked.append((path, dict(body), adapter))
        await self._wait()
        text = self._text(path, body, adapter)
        if path == "completions":
            choices = [{"index": 0, "text": text, "finish_reason": "stop"}]
        else:
            choices = [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]
        return {"id": "x", "model": "y", "choices": choices, "usage": _usage(text), "timings": {"ms": 1}}

    async def stream(self, path: str, body: Mapping[str, Any], adapter: str | None) -> AsyncIterator[dict[str, Any]]:
        self.asked.append((path, dict(body), adapter))
        await self._wait()
        text = self._text(path, body, adapter)
        try:
            for word in text.split(" "):
                piece = word if text.startswith(word) else f" {word}"
                said = {"text": piece} if path == "completions" else {"delta": {"content": piece}}
                yield {"choices": [{"index": 0, **said, "finish_reason": None}]}
                await self._wait()
            last = {"text": ""} if path == "completions" else {"delta": {}}
            yield {"choices": [{"index": 0, **last, "finish_reason": "stop"}], "usage": _usage(text)}
        finally:
            self.closed_streams += 1

    async def _wait(self) -> None:
        waited = self._before() if self._before else None
        if waited is not None:
            await waited

    def _text(self, path: str, body: Mapping[str, Any], adapter: str | None) -> str:
        said = body["prompt"] if path == "completions" else body["messages"][-1]["content"]
        return f"{adapter or BASE}: {said}"


def _usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": len(text.split()), "total_tokens": 3 + len(text.split())}


class FakeHosting:
    """Loops with versions that are there from the beginning; the last one is the champion."""

    def __init__(
        self, engine: Any = None, loops: Mapping[str, Sequence[str]] | None = None, shadow: str | None = None
    ) -> None:
        self.engine = engine or EchoEngine()
        self.versions = {loop: list(versions) for loop, versions in (loops or {"router": ("6", "7")}).items()}
        self.shadow = shadow
        self.leases = 0
        self.stickies: list[str] = []
        self.state = Health("hosting", "ok")

    @property
    def loops(self) -> Sequence[str]:
        return list(self.versions)

    def route(self, loop: str, version: str | None, sticky: str) -> Routed:
        self.stickies.append(sticky)
        if version is None:
            return Routed(self.versions[loop][-1], "champion", self.shadow)
        if version != BASE and version not in self.versions[loop]:
            raise ServingError(404, "no such version", code="model_not_found")
        return Routed(version, "base" if version == BASE else "pinned")

    @asynccontextmanager
    async def lease(self, loop: str, version: str) -> AsyncIterator[Lease]:
        if version != BASE and version not in self.versions[loop]:
            raise ServingError(404, "this version went away", code="model_not_found")
        self.leases += 1
        try:
            adapter = None if version == BASE else f"{loop}-v{version}"
            yield Lease(version, self.engine, adapter, f"fingerprint-{loop}-{version}")
        finally:
            self.leases -= 1

    def served(self) -> Sequence[Served]:
        return [Served(loop, one, "champion", 5.0) for loop, versions in self.versions.items() for one in versions]

    def health(self) -> Sequence[Health]:
        return [self.state]


class FakeTraffic:
    """Keeps everything in a list."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.given: list[Feedback] = []
        self.state = Health("traffic", "ok")

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def feedback(self, feedback: Feedback) -> None:
        known = next((one for one in self.exchanges if one.id == feedback.exchange), None)
        if known is None:
            raise ServingError(404, "no such answer is known", code="not_found")
        if known.key != feedback.key:
            raise ServingError(403, "another key asked this", type="permission_error")
        self.given.append(feedback)

    def health(self) -> Health:
        return self.state

    def counts(self) -> Mapping[str, int]:
        return {"stored": len(self.exchanges), "spooled": 0, "dropped": 0, "waiting": 0}


class Gateway:
    """An application over fakes, and the fakes."""

    def __init__(
        self, home: Path, hosting: FakeHosting | None = None, serving: GatewaySettings | None = None,
        always: bool = False, **parts: Any,
    ) -> None:  # fmt: skip
        self.hosting, self.traffic = hosting or FakeHosting(), FakeTraffic()
        self.serving = serving or GatewaySettings()
        self.keys_file = home / "keys.json"
        keys = StoredKeys(self.keys_file, time.time, always)
        self.app: FastAPI = application(
            self.hosting, self.traffic, self.serving, keys, hashed=hasher(b"a secret"), **parts
        )

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Asks in this process."""
        transport = httpx.ASGITransport(self.app)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            yield client

    def ask(self, method: str, path: str, key: str | None = None, **told: Any) -> httpx.Response:
        """One request in this process."""

        async def asked() -> httpx.Response:
            async with self.client(key) as client:
                return await client.request(method, path, **told)

        return asyncio.run(asked())

    def chat(self, key: str | None = None, headers: Mapping[str, str] | None = None, **body: Any) -> httpx.Response:
        return self.ask("POST", "/v1/chat/completions", key, json={**ASKED, **body}, headers=headers)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """The address of a real server on the loopback, without /v1."""
        opened = bound("127.0.0.1", 0)
        server = Server(_config(self.app, self.serving.door))
        thread = Thread(target=lambda: asyncio.run(server.serve([opened])), daemon=True)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            with contextlib.suppress(OSError):
                opened.close()
