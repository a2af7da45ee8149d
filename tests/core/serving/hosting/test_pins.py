"""Versions that callers name: loaded when they are, a few at a time, and gone after a while."""

import asyncio
from pathlib import Path

import pytest
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.hosting.pins import Pins
from wheelwork.tests.core.serving.hosting.staged import QUICK, Stage, champion, until

live_and_not = pytest.mark.parametrize("live", [False, True], ids=["blue/green", "live"])


def staged(place: Path, live: bool, **changed: float) -> Stage:
    stage = Stage(place, live=live, settings=QUICK.model_copy(update={"recent": 0} | changed))
    for version in ("1", "2", "3", "4"):
        stage.releases.register(version)
    stage.releases.promote("4")
    return stage


@live_and_not
def test_a_version_that_is_named_is_loaded(tmp_path: Path, live: bool) -> None:
    async def work() -> None:
        stage = staged(tmp_path, live)
        async with stage.hosting() as host:
            assert host.route("tiny", "v1", "ann") == ("1", "pinned", None)
            assert await stage.ask(host, "1") == "1"
            assert await asyncio.gather(*(stage.ask(host, "1") for _ in range(20))) == ["1"] * 20
            assert champion(host) == "4" == await stage.ask(host)
            assert {one.version: one.role for one in host.served()}["1"] == "pinned"
            assert host.route("tiny", "4", "ann").role == "pinned"  # named, though it is the champion

    asyncio.run(work())


@live_and_not
def test_only_so_many_are_loaded_at_once(tmp_path: Path, live: bool) -> None:
    async def work() -> None:
        stage = staged(tmp_path, live, pinned=2)
        async with stage.hosting() as host:
            assert [await stage.ask(host, version) for version in ("1", "2", "1")] == ["1", "2", "1"]
            with pytest.raises(ServingError, match="1, 2") as refused:
                await stage.ask(host, "3")
            assert (refused.value.status, refused.value.code) == (503, "too_many_versions")
            assert refused.value.retry_after is not None and refused.value.retry_after <= 30
            assert await stage.ask(host, "4") == "4" and await stage.ask(host, "base") == "base"

    asyncio.run(work())


@live_and_not
def test_one_that_nobody_asks_for_leaves(tmp_path: Path, live: bool) -> None:
    async def work() -> None:
        stage = staged(tmp_path, live, pinned=1, keep_pinned=1.0)
        async with stage.hosting() as host:
            assert await stage.ask(host, "1") == "1"
            await asyncio.sleep(1.1)
            assert await stage.ask(host, "2") == "2"
            await until(lambda: {one.version for one in host.served()} == {"2", "4", "base"})

    asyncio.run(work())


@live_and_not
@pytest.mark.parametrize("version", ["9", "v9", "seven", "7; drop", "", "١", "9" * 30])
def test_one_that_there_is_not_is_not_found_and_takes_no_place(tmp_path: Path, live: bool, version: str) -> None:
    async def work() -> None:
        stage = staged(tmp_path, live, pinned=1)
        async with stage.hosting() as host:
            for _ in range(3):
                with pytest.raises(ServingError, match="there is no version") as refused:
                    await stage.ask(host, version)
                assert (refused.value.status, refused.value.code) == (404, "model_not_found")
            assert stage.releases.asked.count("9") <= 1
            assert len(stage.engine.engines) == 1
            assert await stage.ask(host, "1") == "1"

    asyncio.run(work())


def test_one_that_is_registered_later_is_found_as_it_becomes_champion(tmp_path: Path) -> None:
    async def work() -> None:
        stage = staged(tmp_path, False, retry=3600)
        async with stage.hosting() as host:
            with pytest.raises(ServingError):
                await stage.ask(host, "9")
            stage.releases.register("9")
            stage.releases.promote("9")
            await until(lambda: champion(host) == "9")
            assert await stage.ask(host) == "9"

    asyncio.run(work())


def test_none_is_loaded_where_none_may_be(tmp_path: Path) -> None:
    async def work() -> None:
        stage = staged(tmp_path, False, pinned=0)
        async with stage.hosting() as host:
            with pytest.raises(ServingError) as refused:
                await stage.ask(host, "1")
            assert refused.value.status == 404
            assert await stage.ask(host, "4") == "4"

    asyncio.run(work())


def test_one_that_takes_long_to_load_is_to_be_asked_for_again(tmp_path: Path) -> None:
    async def work() -> None:
        stage = staged(tmp_path, False, pinned_wait=0.05)
        async with stage.hosting() as host:
            stage.engine.start_seconds = 0.3
            with pytest.raises(ServingError, match="version 1 is being loaded") as refused:
                await stage.ask(host, "1")
            assert refused.value.status == 503
            await until(lambda: "1" in {one.version for one in host.served()})
            assert await stage.ask(host, "1") == "1"

    asyncio.run(work())


def test_without_the_registry_none_is_loaded_and_those_that_are_there_answer(tmp_path: Path) -> None:
    async def work() -> None:
        stage = staged(tmp_path, False)
        async with stage.hosting() as host:
            assert await stage.ask(host, "1") == "1"
            stage.releases.down = "away at http://secret.internal"
            await until(lambda: host.health()[0].state == "degraded")
            with pytest.raises(ServingError, match="cannot be fetched now") as refused:
                await stage.ask(host, "2")
            assert refused.value.status == 503 and "secret" not in str(refused.value)
            assert await stage.ask(host, "1") == "1"

    asyncio.run(work())


def test_a_use_keeps_a_pin() -> None:
    pins = Pins(1, 10.0)
    pins.claim("1", 0.0)
    pins.use("1", 8.0)
    pins.use("2", 8.0)
    assert pins.current(17.9) == ("1",) and pins.current(18.1) == ()
