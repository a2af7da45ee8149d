"""What a gateway asks of a real MLflow: who is champion, by which move, and what was measured."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from wheelwork.blocks.registry import ModelRegistry
from wheelwork.blocks.releases import MlflowReleases, sqlite_file
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.errors import DependencyError
from wheelwork.core.registry.fingerprint import tags_of
from wheelwork.core.registry.journal import CHAMPION
from wheelwork.core.registry.moves import Moves
from wheelwork.core.serving.hosting.host import Host
from wheelwork.core.serving.hosting.parts import Release, Standing
from wheelwork.core.serving.hosting.settings import HostSettings
from wheelwork.tests.core.registry.parts import ANN, fingerprint, judged
from wheelwork.tests.core.serving.hosting.staged import Stage, champion, until


@pytest.fixture
def registry(mlflow_uri: str) -> ModelRegistry:
    return ModelRegistry("tiny")


@pytest.fixture
def versions(tracking: Tracking, registry: ModelRegistry, adapter: Path) -> list[str]:
    """Two registered adapters, of a round each."""
    runs = [tracking.open_run(f"000{number}-abc", {}) for number in (1, 2)]
    return [
        registry.register(run, adapter, f"adapter-{number}", {"base_digest": "b"}) for number, run in enumerate(runs, 1)
    ]


class Clock:
    """Far enough from any file's time for that to be settled, unless a test says otherwise."""

    def __init__(self) -> None:
        self.now = 4e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def releases(mlflow_uri: str, tmp_path: Path, clock: Clock) -> MlflowReleases:
    return MlflowReleases("tiny", tmp_path / "home", clock)


def test_it_tells_champion_and_kind_of_each_move(
    releases: MlflowReleases, registry: ModelRegistry, versions: list[str], tmp_path: Path
) -> None:
    assert releases.champion() == Standing(None, "outside")
    moves = Moves("tiny", registry, tmp_path / "home", ANN)
    moves.judge(judged("1", None, adapter="adapter-1"))
    assert releases.champion() == Standing("1", "promote")
    moves.judge(judged("2", "1", adapter="adapter-2"))
    assert releases.champion() == Standing("2", "promote")
    moves.roll_back()
    assert releases.champion() == Standing("1", "rollback")
    registry.point(CHAMPION, "2")  # by hand
    assert releases.champion() == Standing("2", "outside")
    moves.roll_back("base")
    assert releases.champion() == Standing(None, "rollback")


def test_a_version_tells_its_adapter_and_what_was_measured(
    releases: MlflowReleases, registry: ModelRegistry, versions: list[str], client: MlflowClient
) -> None:
    measured = fingerprint(adapter="adapter-1")
    registry.tag_version("1", tags_of(measured))
    found = releases.release("1")
    assert found == Release("1", registry.adapter("1").folder, "adapter-1", measured)
    unmeasured = releases.release("2")
    assert unmeasured is not None and unmeasured.measured is None
    assert releases.release("3") is None and releases.release("two") is None
    client.create_model_version("tiny", source=str(found.folder))
    by_hand = releases.release("3")
    assert by_hand is not None and (by_hand.digest, by_hand.measured) == ("", None)


def test_a_look_costs_no_question_while_no_file_was_written_to(
    releases: MlflowReleases, registry: ModelRegistry, versions: list[str], clock: Clock, mlflow_uri: str
) -> None:
    registry.point(CHAMPION, "1")
    assert releases.champion().version == "1"
    file = sqlite_file()
    assert file is not None and mlflow_uri.endswith(str(file))
    before = file.stat()
    registry.point(CHAMPION, "2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had been written
    assert file.stat().st_size == before.st_size
    assert releases.champion().version == "1"
    clock.now += 11  # it is asked now and then all the same
    assert releases.champion().version == "2"


def test_a_file_that_was_just_written_to_is_looked_at_again(
    releases: MlflowReleases, registry: ModelRegistry, versions: list[str], clock: Clock
) -> None:
    registry.point(CHAMPION, "1")
    file = sqlite_file()
    assert file is not None
    before = file.stat()
    clock.now = before.st_mtime + 0.05
    assert releases.champion().version == "1"
    registry.point(CHAMPION, "2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert releases.champion().version == "2"


def test_it_is_made_without_mlflow_and_says_when_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    releases = MlflowReleases("tiny", tmp_path / "home")
    assert sqlite_file() is None
    for ask in (releases.champion, lambda: releases.release("1")):
        with pytest.raises(DependencyError, match="MLflow"):
            ask()


def test_a_damaged_database_is_an_outage(
    releases: MlflowReleases, registry: ModelRegistry, versions: list[str], mlflow_uri: str
) -> None:
    registry.point(CHAMPION, "1")
    assert releases.champion().version == "1"
    file = sqlite_file()
    assert file is not None
    whole = file.read_bytes()
    with sqlite3.connect(file) as connection:
        connection.execute("drop table registered_model_aliases")
    with pytest.raises(DependencyError, match="MLflow"):
        releases.champion()
    file.write_bytes(whole)


def test_a_promotion_in_mlflow_reaches_the_host_which_goes_on_without_it(
    tracking: Tracking, registry: ModelRegistry, tmp_path: Path, mlflow_uri: str
) -> None:
    home, stage = tmp_path / "home", Stage(tmp_path, settings=HostSettings(health=0.05))
    moves = Moves("tiny", registry, home, ANN)
    for version in ("1", "2"):
        release = stage.releases.register(version)
        run = tracking.open_run(f"000{version}-abc", {})
        assert registry.register(run, release.folder, release.digest, {"base_digest": "base"}) == version

    def promote(version: str, against: str | None) -> None:
        digest = stage.digest(version)
        told = judged(version, against, adapter=digest, fingerprint=fingerprint(adapter=digest))
        assert moves.judge(told).status == "promoted"

    async def work() -> None:
        hosted = stage.hosted()._replace(releases=MlflowReleases("tiny", home))
        async with Host([hosted], home) as host:
            assert await host.settled(60)
            assert await stage.ask(host) == "base"
            for version, against in (("1", None), ("2", "1")):
                await asyncio.to_thread(promote, version, against)
                await until(lambda version=version: champion(host) == version, 5)  # type: ignore[misc]
                assert await stage.ask(host) == version
            moves.roll_back()
            await until(lambda: champion(host) == "1", 5)
            assert host.health()[0].state == "ok"
        for file in tmp_path.glob("mlflow.db*"):
            file.write_bytes(b"this is no database, and was one a moment ago")
        async with Host([hosted._replace(releases=MlflowReleases("tiny", home))], home) as host:
            assert await host.settled(60)
            assert await stage.ask(host) == "1"
            await until(lambda: host.health()[0].state == "degraded", 60)
            assert "MLflow" in host.health()[0].note and await stage.ask(host) == "1"

    asyncio.run(work())
