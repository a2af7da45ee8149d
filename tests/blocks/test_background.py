"""What a gateway does beside answering: decisions are told, enough corrections start a collection."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from wheelwork.blocks import background
from wheelwork.blocks.background import COLLECT, ServedLoop, work
from wheelwork.core.errors import DependencyError
from wheelwork.core.loops import load_loop
from wheelwork.core.naming import find_loop
from wheelwork.core.serving.hooks.settings import Receiver
from wheelwork.core.traffic.archive import Archive
from wheelwork.tests.core.serving.canary.parts import Service

RECEIVER = {"url": "http://127.0.0.1:1/", "secret_env": "NO_SUCH_SECRET", "allow_private": True}


class FakeStarter:
    """A Prefect that counts what it is asked to start."""

    def __init__(self, *, away: int = 0) -> None:
        self.away = away
        self.started: list[tuple[str, Mapping[str, Any], str]] = []

    async def __call__(self, deployment: str, parameters: Mapping[str, Any], key: str) -> str:
        if self.away:
            self.away -= 1
            raise DependencyError("there is no Prefect")
        self.started.append((deployment, parameters, key))
        return "http://somewhere"


class FakeHost:
    def __init__(self) -> None:
        self.nudged: list[str | None] = []

    def nudge(self, loop: str | None = None) -> None:
        self.nudged.append(loop)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK", 0.01)
    monkeypatch.setattr(background, "COUNT", 0.01)


def beside(service: Service, home: Path, starter: FakeStarter, host: FakeHost, seconds: float = 0.5) -> None:
    """Let everything run for a while."""
    loop = load_loop(find_loop("home_broadband"))
    serve = loop.settings.serve.model_copy(update={"notify": (Receiver.model_validate(RECEIVER),)})
    loop.settings = loop.settings.model_copy(update={"serve": serve})

    async def run() -> None:
        base: Any = None  # no engine is started
        loops, canaries = {loop.name: ServedLoop(loop, base, "/loops/home")}, {loop.name: service.canary}
        tasks = [asyncio.create_task(one) for one in work(loops, canaries, host, home, starter)]  # type: ignore[arg-type]
        await asyncio.sleep(seconds)
        for task in tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_a_canary_that_is_rolled_back_is_told_and_the_host_hears_of_it(tmp_path: Path) -> None:
    service, host = Service(tmp_path, stages=(0.5, 1.0)).promoted(), FakeHost()
    service.many(2000, failing="2")
    beside(service, tmp_path, FakeStarter(), host)
    assert host.nudged and service.moved
    with sqlite3.connect(tmp_path / "notices.db") as database:
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM notices")]
    told = [body["data"]["verdict"] for body in bodies if body["type"] == "canary.decided"]
    assert "roll_back" in told and len(told) == len(set(map(str, bodies)))


def test_enough_corrections_start_one_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = {"corrections": 19}
    monkeypatch.setattr(Archive, "pending", lambda *_: dict(waiting))
    starter = FakeStarter()
    beside(Service(tmp_path), tmp_path, starter, FakeHost())
    assert starter.started == []
    waiting["corrections"] = 20
    starter = FakeStarter(away=2)  # which is tried again
    beside(Service(tmp_path), tmp_path, starter, FakeHost())
    assert [(name, told) for name, told, _ in starter.started] == [(COLLECT, {"loop": "/loops/home"})]
