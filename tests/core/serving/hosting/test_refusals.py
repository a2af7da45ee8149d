"""A bad version never gets traffic: the one before goes on, and the health says why."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.hosting.refusals import MOST, Refusal, Refusals
from wheelwork.tests.core.registry.parts import fingerprint
from wheelwork.tests.core.serving.hosting.staged import QUICK, Stage, adapter_folder, champion, until

live_and_not = pytest.mark.parametrize("live", [False, True], ids=["blue/green", "live"])
Spoil = Callable[[Stage], None]


def _damaged(stage: Stage) -> None:
    weights = stage.releases.register("2").folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")


def _unmeasured(stage: Stage) -> None:
    stage.releases.register("2", measured=None)


def _measured_otherwise(stage: Stage) -> None:
    digest = stage.releases.register("2").digest
    measured = fingerprint(adapter=digest, engine="another engine")
    stage.releases.releases["2"] = stage.releases.releases["2"]._replace(measured=measured)


def _no_adapter(stage: Stage) -> None:
    (stage.releases.register("2").folder / "adapter_config.json").unlink()


def _no_safetensors(stage: Stage) -> None:
    release = stage.releases.register("2")
    (release.folder / "adapter_model.safetensors").write_bytes(b"pickle")
    digest = Adapter.at(release.folder).digest
    stage.releases.releases["2"] = release._replace(digest=digest, measured=fingerprint(adapter=digest))


def _does_not_load(stage: Stage) -> None:
    stage.engine.unloadable.add(stage.releases.register("2").digest)


def _does_not_answer(stage: Stage) -> None:
    stage.engine.mute.add(stage.releases.register("2").digest)


def _is_not_there(stage: Stage) -> None:
    pass


bad = pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_damaged, "not those that were registered"),
        (_unmeasured, "never measured"),
        (_measured_otherwise, "is not what was measured: the engine (another engine then, as ever now)"),
        (_no_adapter, "adapter_config.json missing"),
        (_no_safetensors, "no whole safetensors file"),
        (_does_not_load, "does not fit the model"),
        (_does_not_answer, "its first answer failed: the engine gave no tokens"),
        (_is_not_there, "the registry has no such version"),
    ],
    ids=lambda one: getattr(one, "__name__", "").strip("_"),
)  # fmt: skip


@live_and_not
@bad
def test_a_bad_champion_gets_no_traffic_and_the_one_before_goes_on(
    tmp_path: Path, spoil: Spoil, said: str, live: bool
) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, live=live)
        stage.releases.register("1")
        spoil(stage)
        stage.releases.promote("1")
        async with stage.hosting() as host:
            stage.releases.promote("2")
            await until(lambda: said in host.health()[0].note)
            started = len(stage.engine.engines)
            for _ in range(20):
                assert await stage.ask(host) == "1"
                await asyncio.sleep(0.01)
            state, note = host.health()[0][1:]
            assert state == "degraded" and "tiny version 2" in note and note.endswith("version 1 answers")
            assert len(stage.engine.engines) == started  # it is not tried again and again
            with pytest.raises(ServingError) as refused:
                host.route("tiny", "2", "ann")
            assert refused.value.status == 404 and str(tmp_path) not in str(refused.value)

    asyncio.run(work())


@live_and_not
@bad
def test_it_is_tried_again_when_something_changed(tmp_path: Path, spoil: Spoil, said: str, live: bool) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, live=live)
        stage.releases.register("1")
        spoil(stage)
        stage.releases.promote("1")
        async with stage.hosting() as host:
            stage.releases.promote("2")
            await until(lambda: said in host.health()[0].note)
            stage.engine.unloadable.clear()
            stage.engine.mute.clear()
            shutil.rmtree(tmp_path / "registered-2", ignore_errors=True)
            stage.releases.register("2")
            host.nudge()
            await until(lambda: champion(host) == "2")
            assert await stage.ask(host) == "2" and host.health()[0].state == "ok"

    asyncio.run(work())


@bad
def test_at_a_start_with_nothing_else_only_the_base_may_be_named(tmp_path: Path, spoil: Spoil, said: str) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        spoil(stage)
        stage.releases.promote("2")
        async with stage.hosting() as host:
            assert host.health()[0].state == "down" and said in host.health()[0].note
            with pytest.raises(ServingError) as refused:
                host.route("tiny", None, "ann")
            assert refused.value.status == 503 and refused.value.retry_after is not None
            assert await stage.ask(host, "base") == "base"

    asyncio.run(work())


def test_of_several_new_versions_the_bad_one_is_found(tmp_path: Path) -> None:
    from wheelwork.tests.core.serving.hosting.staged import FakeTrial

    async def work() -> None:
        stage, trial = Stage(tmp_path), FakeTrial()
        stage.trial = trial
        stage.releases.register("1")
        stage.engine.unloadable.add(stage.releases.register("2").digest)
        trial.known, trial.champion, trial.stable, trial.candidate = True, "2", "1", "2"
        stage.releases.promote("2")
        async with stage.hosting() as host:
            assert await stage.ask(host, sticky="in") == "1"
            assert "tiny version 2: this adapter does not fit" in host.health()[0].note

    asyncio.run(work())


def test_a_first_answer_that_takes_too_long_is_tried_again(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, settings=QUICK.model_copy(update={"warm_up": 0.2}))
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            pace, stage.engine.pace = stage.engine.pace, 1.0
            stage.releases.promote("2")
            await until(lambda: "first answer took longer than 0.2 s" in host.health()[0].note)
            assert champion(host) == "1"
            stage.engine.pace = pace
            await until(lambda: champion(host) == "2")

    asyncio.run(work())


def test_a_promotion_of_a_bad_version_is_undone_by_a_rollback(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        stage.releases.register("1")
        _does_not_load(stage)
        stage.releases.promote("1")
        async with stage.hosting() as host:
            stage.releases.promote("2")
            await until(lambda: host.health()[0].state == "degraded")
            stage.releases.promote("1", "rollback")
            await until(lambda: host.health()[0].state == "ok")
            assert await stage.ask(host) == "1"

    asyncio.run(work())


def test_a_served_adapter_is_not_changed_by_what_happens_to_the_registrys(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path)
        release = stage.releases.register("1")
        stage.releases.promote("1")
        async with stage.hosting() as host:
            shutil.rmtree(release.folder)
            adapter_folder(release.folder, 99)
            stage.engine.engines[-1].dead = True
            await until(lambda: len(stage.engine.engines) == 2)
            await until(lambda: host.health()[0].state == "ok")
            assert await stage.ask(host) == "1"

    asyncio.run(work())


def test_a_version_that_is_loaded_needs_no_files_to_be_champion_again(tmp_path: Path) -> None:
    async def work() -> None:
        stage = Stage(tmp_path, settings=QUICK.model_copy(update={"recent": 0}))
        stage.releases.begin("1", "2")
        async with stage.hosting() as host:
            stage.releases.promote("2")
            await until(lambda: champion(host) == "2")
            shutil.rmtree(stage.releases.releases["1"].folder)
            stage.releases.promote("1", "rollback")
            await until(lambda: champion(host) == "1")
            assert await stage.ask(host) == "1" and host.health()[0].state == "ok"

    asyncio.run(work())


def test_refusals_are_not_kept_without_end() -> None:
    refused = Refusals()
    for number in range(MOST + 5):
        refused[str(number)] = Refusal("bad", "", 1.0 if number % 2 else None)
    assert len(refused) == MOST and "4" not in refused
    assert len(refused.passed(2.0)) == MOST // 2 and len(refused) == MOST // 2
