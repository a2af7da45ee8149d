"""The registry away, engines that die, starts without anything: who was served goes on being served."""

import asyncio
import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError
from wheelwork.core.errors import ConfigError, ServingError
from wheelwork.core.serving.hosting.host import Host
from wheelwork.core.serving.hosting.settings import HostSettings
from wheelwork.core.serving.hosting.shelf import Shelf
from wheelwork.tests.core.serving.hosting.staged import QUICK, Stage, champion, until

AWAY = "MLflow did not do as asked (connection refused)"


def test_without_the_registry_the_last_champion_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            stage.releases.down = AWAY
            await until(lambda: host.health()[0].state == "degraded")
            assert AWAY in host.health()[0].note and await stage.ask(host) == "1"
            stage.releases.promote("2")
            stage.releases.down = ""
            await until(lambda: champion(host) == "2")
            await until(lambda: host.health()[0].state == "ok")

    asyncio.run(work())


@pytest.mark.parametrize("version", ["1", None])
def test_it_starts_without_the_registry_as_it_ended(tmp_path: Path, version: str | None) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.register("1")
        stage.releases.promote(version)
        async with stage.hosting() as host:
            await until(lambda: Shelf(tmp_path / "home", "tiny").last is not None)
        stage.releases.down = AWAY
        async with stage.hosting() as host:
            assert await stage.ask(host) == (version or "base")
            assert host.health()[0].state == "degraded"
            assert stage.engine.engines[-1].answered > 1  # it was asked its first question this time too

    asyncio.run(work())


def test_without_the_registry_what_was_served_is_still_checked(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1")
        async with stage.hosting():
            await until(lambda: Shelf(tmp_path / "home", "tiny").last is not None)
        stage.releases.down = AWAY
        stage.engine_now = {"engine": "an update"}
        async with stage.hosting() as host:
            assert host.health()[0].state == "down" and "is not what was measured" in host.health()[0].note
        stage.engine_now = {}
        (weights,) = (tmp_path / "home" / "serving" / "tiny").glob("v1-*/adapter_model.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        async with stage.hosting() as host:
            assert host.health()[0].state == "down" and "not those that were registered" in host.health()[0].note

    asyncio.run(work())


def test_a_first_start_without_the_registry_waits_for_it(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1")
        stage.releases.down = AWAY
        async with stage.hosting() as host:
            assert host.health()[0].state == "down"
            with pytest.raises(ServingError) as refused:
                await stage.ask(host)
            assert refused.value.status == 503
            assert await stage.ask(host, "base") == "base"
            stage.releases.down = ""
            await until(lambda: host.health()[0].state == "ok")
            assert await stage.ask(host) == "1"

    asyncio.run(work())


def test_the_one_before_goes_on_also_after_a_start(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.register("1")
        stage.engine.unloadable.add(stage.releases.register("2").digest)
        stage.releases.promote("1")
        async with stage.hosting():
            await until(lambda: Shelf(tmp_path / "home", "tiny").last is not None)
        stage.releases.promote("2")
        async with stage.hosting() as host:
            assert await stage.ask(host) == "1" and "tiny version 2" in host.health()[0].note

    asyncio.run(work())


def test_a_start_does_not_wait_for_a_slow_registry_and_one_in_the_midst_of_a_swap_goes_on_with_it(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1", "2")
        async with stage.hosting():
            await until(lambda: Shelf(tmp_path / "home", "tiny").last is not None)
        shelf = Shelf(tmp_path / "home", "tiny")
        assert shelf.last is not None and shelf.last.answering == "1"
        shelf.remember(shelf.last.model_copy(update={"standing": "2"}), shelf.last.kept)
        stage.releases.promote("2")
        stage.releases.asked.clear()
        stage.releases.there.clear()
        async with Host([stage.hosted()], tmp_path / "home") as host:
            try:
                await until(lambda: host.health()[0].state == "ok")
                assert await stage.ask(host) == "1" and not stage.releases.asked
            finally:
                stage.releases.there.set()
            await until(lambda: champion(host) == "2")
            assert await stage.ask(host) == "2"
            assert len(stage.engine.engines) == 3

    asyncio.run(work())


@pytest.mark.parametrize("live", [False, True], ids=["blue/green", "live"])
@pytest.mark.parametrize("noticed_by", ["health", "a failed request"])
def test_an_engine_that_dies_is_started_again(tmp_path: Path, live: bool, noticed_by: str) -> None:
    async def work() -> None:
        looks = 60 if noticed_by == "a failed request" else 0.02
        stage = Stage(tmp_path, live=live, settings=QUICK.model_copy(update={"health": looks}))
        stage.releases.begin("1")
        async with stage.hosting() as host:
            stage.engine.start_seconds = 0.2
            stage.engine.engines[0].dead = True
            if noticed_by != "health":
                with pytest.raises(ServingError):
                    await stage.ask(host)
            await until(lambda: host.health()[0].state == "down")
            with pytest.raises(ServingError) as refused:
                async with host.lease("tiny", "1"):
                    pass
            assert refused.value.status == 503 and (refused.value.retry_after or 0) >= 1
            await until(lambda: host.health()[0].state == "ok")
            assert await stage.ask(host) == "1"
            assert stage.engine.engines[0].closed and len(stage.engine.engines) == 2

    asyncio.run(work())


@pytest.mark.parametrize(("looks", "engines"), [(2, 1), (3, 2)])
def test_an_engine_that_is_silent_for_a_while_is_busy_and_then_dead(tmp_path: Path, looks: int, engines: int) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1")
        async with stage.hosting() as host:
            first = stage.engine.engines[0]
            first.silent = looks
            await until(lambda: not first.silent)
            await asyncio.sleep(0.1)  # five more looks
            await until(lambda: host.health()[0].state == "ok")
            assert len(stage.engine.engines) == engines and first.closed == (engines == 2)
            assert await stage.ask(host) == "1"

    asyncio.run(work())


def test_an_engine_that_dies_again_and_again_is_started_ever_more_slowly(tmp_path: Path) -> None:
    async def work() -> None:
        settings = QUICK.model_copy(update={"restart": 0.2, "restart_longest": 10.0})
        stage = Stage(tmp_path, settings=settings)
        stage.releases.begin("1")
        async with stage.hosting():
            for count in range(1, 5):
                await until(lambda count=count: len(stage.engine.engines) == count)
                stage.engine.engines[-1].dead = True
        waits = [after - before for before, after in itertools.pairwise(stage.engine.started)]
        assert waits[1] > 0.15 and waits[2] > 0.3  # the first time it is started at once

    asyncio.run(work())


def test_an_engine_that_does_not_come_up_is_no_versions_fault(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1")
        stage.engine.broken = "llama.cpp cannot load this model"
        async with stage.hosting() as host:
            assert "the engine does not come up: llama.cpp cannot load" in host.health()[0].note
            assert host.health()[0].state == "down"
            stage.engine.broken = ""
            await until(lambda: host.health()[0].state == "ok")
            assert await stage.ask(host) == "1"

    asyncio.run(work())


def test_an_engine_for_a_swap_that_does_not_come_up_leaves_the_old_one(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            stage.engine.mute.add("base")  # of the new engine: the running one is not asked
            stage.releases.promote("2")
            await until(lambda: "does not come up" in host.health()[0].note)
            assert await stage.ask(host) == "1" and host.health()[0].state == "degraded"
            stage.engine.mute.clear()
            await until(lambda: champion(host) == "2")
            assert len(stage.engine.up) <= 2

    asyncio.run(work())


def test_a_host_that_ends_while_an_engine_starts_leaves_none_behind(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.engine.start_seconds = 0.3
        async with Host([stage.hosted()], tmp_path / "home"):
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
        assert len(stage.engine.engines) == 1 and not stage.engine.up

    asyncio.run(work())


def test_a_registry_that_fails_in_an_unknown_way_is_an_outage(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1")
        async with stage.hosting() as host:
            stage.releases.champion = lambda: 1 // 0  # type: ignore[method-assign,assignment,return-value]
            await until(lambda: host.health()[0].state == "degraded")
            assert await stage.ask(host) == "1"

    asyncio.run(work())


def test_what_is_not_served_any_more_leaves_the_disk(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, live=True, settings=QUICK.model_copy(update={"recent": 0}))
        shelf = tmp_path / "home" / "serving" / "tiny"
        stage.releases.begin("1", "2")
        async with stage.hosting():
            stage.releases.promote("2")
            await until(lambda: [one.name[:3] for one in shelf.glob("v*")] == ["v2-"])
            last = Shelf(tmp_path / "home", "tiny").last
            assert last is not None and (last.standing, last.answering, last.kept[0].version) == ("2", "2", "2")
        (shelf / "last.json").write_text("{")
        assert Shelf(tmp_path / "home", "tiny").last is None

    asyncio.run(work())


def test_unknown_loops_are_not_found_and_two_may_not_share_a_name(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        async with stage.hosting() as host:
            assert list(host.loops) == ["tiny"]
            for ask in (lambda: host.route("tinny", None, ""), lambda: host.lease("tinny", "1")):
                with pytest.raises(ServingError, match="did you mean `tiny`") as refused:
                    ask()
                assert refused.value.status == 404
        with pytest.raises(ConfigError, match="two loops are called `tiny`"):
            Host([stage.hosted(), stage.hosted()], tmp_path)

    asyncio.run(work())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="raise it"):
        HostSettings(restart=10, restart_longest=1)
    with pytest.raises(ValidationError):
        HostSettings(poll=0)
