"""Swaps while requests are under way: none fails, none is answered by two versions."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from wheelwork.core.errors import ServingError
from wheelwork.tests.core.serving.hosting.staged import QUICK, FakeTrial, Stage, champion, until

SWAPS = 200
live_and_not = pytest.mark.parametrize("live", [False, True], ids=["blue/green", "live"])


@live_and_not
def test_200_swaps_under_load_fail_no_request_and_mix_no_versions(tmp_path: Path, live: bool) -> None:
    stage = Stage(tmp_path, live=live, settings=QUICK.model_copy(update={"linger": 0.02, "recent": 0}))
    answered: Counter[str] = Counter()

    async def asking(host, stop):  # type: ignore[no-untyped-def]
        while not stop.is_set():
            answered[await stage.ask(host)] += 1
            await asyncio.sleep(0.001)  # threads get no turn in a process that never waits

    async def work() -> None:
        for number in range(1, 6):
            stage.releases.register(str(number))
        stage.releases.promote("1")
        async with stage.hosting() as host:
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(16):
                    tasks.create_task(asking(host, stop))
                for swap in range(SWAPS):
                    version = str(swap % 5 + 1)
                    stage.releases.promote(version)
                    host.nudge()
                    await until(lambda wanted=version: champion(host) == wanted)
                stop.set()
            await until(lambda: len(stage.engine.up) == 1)
            assert host.health()[0].state == "ok"
            if live:
                await until(lambda: len(stage.engine.up[0].adapters) == 1)
        assert not stage.engine.up

    asyncio.run(work())
    assert set(answered) == {"1", "2", "3", "4", "5"} and answered.total() > SWAPS
    assert len(stage.engine.engines) == (1 if live else SWAPS)  # the first promotion was there at the start


@live_and_not
def test_a_promotion_is_served_within_a_look_and_the_load(tmp_path: Path, live: bool) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, live=live)
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            assert champion(host) == "1" == await stage.ask(host)
            stage.releases.promote("2")
            await until(lambda: champion(host) == "2", 1.0)
            assert await stage.ask(host) == "2"
            assert {one.version: one.role for one in host.served()} == {"2": "champion", "1": "pinned", "base": "base"}

    asyncio.run(work())


@live_and_not
def test_a_request_under_way_ends_with_the_version_it_began_with(tmp_path: Path, live: bool) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, live=live, settings=QUICK.model_copy(update={"recent": 0}))
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            async with host.lease("tiny", "1") as lease:
                stage.releases.promote("2")
                await until(lambda: champion(host) == "2")
                await asyncio.sleep(0.2)  # longer than the linger
                await stage.check(lease)
                first = stage.engine.engines[0]
                assert not first.closed and "tiny-v1" in first.adapters
            if live:
                await until(lambda: list(first.adapters) == ["tiny-v2"])
            else:
                await until(lambda: first.closed)

    asyncio.run(work())


def test_a_request_that_outlasts_the_drain_is_cut_off(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, settings=QUICK.model_copy(update={"drain": 0.1, "recent": 0}))
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            async with host.lease("tiny", "1"):
                stage.releases.promote("2")
                await until(lambda: stage.engine.engines[0].closed)
            assert await stage.ask(host) == "2"

    asyncio.run(work())


def test_a_rollback_to_the_champion_before_needs_no_engine(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            stage.releases.promote("2")
            await until(lambda: champion(host) == "2")
            engines = len(stage.engine.engines)
            stage.releases.promote("1", "rollback")
            await until(lambda: champion(host) == "1")
            assert await stage.ask(host) == "1" and len(stage.engine.engines) == engines
            stage.releases.promote(None, "rollback")
            await until(lambda: champion(host) == "base")
            assert await stage.ask(host) == "base"
            assert host.route("tiny", None, "x").role == "base"

    asyncio.run(work())


def test_a_version_that_was_replaced_still_takes_who_was_routed_to_it(tmp_path: Path) -> None:
    async def work() -> None:
        settings = QUICK.model_copy(update={"recent": 0, "linger": 0.5, "pinned": 0})
        stage = Stage(tmp_path, live=True, settings=settings)
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            routed = host.route("tiny", None, "ann")
            stage.releases.promote("2")
            await until(lambda: [one.version for one in host.served()] == ["base", "2"])
            async with host.lease("tiny", routed.version) as lease:
                await stage.check(lease)
            await until(lambda: "tiny-v1" not in stage.engine.engines[0].adapters)
            with pytest.raises(ServingError) as refused:
                async with host.lease("tiny", "1"):
                    pass
            assert refused.value.status == 404

    asyncio.run(work())


def test_a_trial_has_both_versions_ready_and_is_told_before_traffic_moves(tmp_path: Path) -> None:
    async def work() -> None:
        stage, trial = Stage(tmp_path), FakeTrial()
        stage.trial = trial
        stage.releases.begin("1", "2", "3")
        async with stage.hosting() as host:
            assert trial.told[0] == (None, "1", "start")  # nobody was champion here to try it against
            stage.releases.promote("2")
            await until(lambda: host.route("tiny", None, "in").version == "2")
            assert trial.told[-1] == ("1", "2", "promote")
            assert await stage.ask(host, sticky="in") == "2" and await stage.ask(host, sticky="out") == "1"
            roles = {one.version: one.role for one in host.served()}
            assert roles == {"1": "champion", "2": "candidate", "base": "base"}
            trial.shadow = "2"
            assert host.route("tiny", None, "out").shadow == "2"
            trial.shadow = "3"  # not ready: nobody is asked beside
            assert host.route("tiny", None, "out") == ("1", "champion", None)
            trial.candidate = "3"  # nor does anybody get it
            assert host.route("tiny", None, "in").version == "1"
            trial.shadow = trial.candidate = None
            stage.releases.promote("1", "rollback")
            await until(lambda: trial.told[-1] == ("2", "1", "rollback"))
            assert await stage.ask(host, sticky="in") == "1"
        async with stage.hosting() as host:
            assert trial.told[-1] == ("1", "1", "rollback")  # after a start it is told again, which it ignores
            assert await stage.ask(host, sticky="in") == "1"

    asyncio.run(work())


def test_a_candidate_that_is_refused_leaves_all_to_the_champion(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.trial = FakeTrial()
        for version in ("1", "2"):
            stage.releases.register(version)
        stage.engine.mute.add(stage.digest("2"))
        stage.releases.promote("1")
        async with stage.hosting() as host:
            stage.releases.promote("2")
            await until(lambda: "version 2" in host.health()[0].note)
            assert host.health()[0].state == "degraded"
            assert await stage.ask(host, sticky="in") == "1"

    asyncio.run(work())


def test_a_route_and_a_lease_cost_microseconds(tmp_path: Path) -> None:
    async def work() -> float:
        stage = Stage(tmp_path)
        stage.releases.begin("1")
        async with stage.hosting() as host:
            clock, best = asyncio.get_running_loop(), 1.0
            for _ in range(20):
                began = clock.time()
                for _ in range(200):
                    routed = host.route("tiny", None, "ann")
                    async with host.lease("tiny", routed.version):
                        pass
                best = min(best, (clock.time() - began) / 200)
            return best

    assert asyncio.run(work()) < 100e-6  # about 2 on a quiet machine
