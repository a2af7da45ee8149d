"""The registered model in a real MLflow: adapters, aliases, tags; moves that are killed, race, are refused."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from wheelwork.blocks.registry import ModelRegistry, here, moves_of
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.errors import DependencyError
from wheelwork.core.registry.fingerprint import recorded_in
from wheelwork.core.registry.journal import CANDIDATE, CHAMPION
from wheelwork.tests.core.registry.parts import fingerprint, judged


@pytest.fixture
def registry(mlflow_uri: str) -> ModelRegistry:
    return ModelRegistry("tiny")


@pytest.fixture
def versions(tracking: Tracking, registry: ModelRegistry, adapter: Path) -> list[str]:
    """Three registered adapters, of a round each."""
    runs = [tracking.open_run(f"000{number}-abc", {}) for number in (1, 2, 3)]
    return [
        registry.register(run, adapter, f"adapter-{number}", {"base_digest": "b"}) for number, run in enumerate(runs, 1)
    ]


# adapters


def test_an_adapter_is_registered_once(
    tracking: Tracking, registry: ModelRegistry, client: MlflowClient, adapter: Path
) -> None:
    run = tracking.open_run("0000-abc", {})
    first = registry.register(run, adapter, "one", {"base_digest": "b"})
    assert registry.register(tracking.open_run("0001-abc", {}), adapter, "one", {"base_digest": "b"}) == first
    assert registry.register(run, adapter, "two", {"base_digest": "b"}) != first
    found = {str(v.version): v for v in client.search_model_versions("name = 'tiny'")}
    assert len(found) == 2 and found[first].run_id == run
    assert found[first].tags == {"adapter_digest": "one", "base_digest": "b"}


def test_an_alias_moves_and_stays_one(registry: ModelRegistry, client: MlflowClient, versions: list[str]) -> None:
    one, two, _ = versions
    for version in (one, two):
        registry.point(CANDIDATE, version)
    registry.point(CHAMPION, one)
    assert registry.aliases() == {CANDIDATE: two, CHAMPION: one}
    assert client.get_model_version("tiny", two).aliases == [CANDIDATE]
    registry.point(CHAMPION, None)
    assert registry.aliases() == {CANDIDATE: two}


def test_there_is_no_champion_before_the_first_promotion(
    tracking: Tracking, registry: ModelRegistry, adapter: Path
) -> None:
    assert registry.champion() is None and registry.aliases() == {} == registry.tags()  # no registered model yet
    registry.register(tracking.open_run("0000-abc", {}), adapter, "one", {})
    assert registry.champion() is None  # a version, but no alias


def test_the_champion_is_the_registered_folder(registry: ModelRegistry, versions: list[str], adapter: Path) -> None:
    shutil.rmtree(adapter)
    registry.point(CHAMPION, versions[0])
    champion = registry.champion()
    assert champion is not None and champion == registry.adapter(versions[0])
    assert (champion.version, champion.digest) == (versions[0], "adapter-1")
    assert (champion.folder / "adapter_model.safetensors").read_bytes() == b"weights"


def test_a_version_tells_its_tags_its_run_and_its_round(
    tracking: Tracking, registry: ModelRegistry, versions: list[str]
) -> None:
    registry.tag_version(versions[0], {"verdict": "promoted"})
    found = registry.version(versions[0])
    assert found is not None and found.tags["verdict"] == "promoted" and found.round == "0001-abc"
    assert found.run == tracking.open_run("0001-abc", {})
    registry.tag_version(versions[0], {"round": "0009-abc"})
    told = registry.version(versions[0])
    assert told is not None and told.round == "0009-abc"
    assert registry.version("99") is None and registry.version("newest") is None


def test_tags_of_the_model_come_and_go(registry: ModelRegistry) -> None:
    registry.tag("wheelwork.claim.x", "mine")
    assert registry.tags() == {"wheelwork.claim.x": "mine"}
    for _ in range(2):
        registry.tag("wheelwork.claim.x", None)
    assert registry.tags() == {}


def test_what_is_known_of_an_adapter_is_found_by_alias_and_by_number(
    tracking: Tracking, registry: ModelRegistry, adapter: Path
) -> None:
    assert registry.release("champion") is None and registry.release("1") is None  # nothing is registered yet
    run = tracking.open_run("0000-abc", {})
    one, two = (registry.register(run, adapter, digest, {"base_digest": "b"}) for digest in ("one", "two"))
    registry.tag_version(one, {"verdict": "promoted"})
    registry.point(CANDIDATE, two)
    tracking.log(run, params={"samples": 90})
    assert registry.release(CHAMPION) is None
    found = registry.release(one)
    assert found is not None and found.report is None  # its round was killed before it wrote one
    assert (found.adapter.digest, found.base, found.verdict, found.asked) == ("one", "b", "promoted", "90")
    tracking.log_text(run, "{}", "report.json")
    candidate = registry.release(CANDIDATE)
    assert candidate is not None and (candidate.adapter.version, candidate.report) == (two, "{}")
    assert registry.release("99") is None and registry.release("newest") is None


# moves


def test_promotions_and_a_rollback_in_a_real_registry(
    registry: ModelRegistry, client: MlflowClient, versions: list[str], tmp_path: Path
) -> None:
    one, two, three = versions
    moves = moves_of("tiny", tmp_path / "home", "brave-fox (42)")
    assert moves.judge(judged(one, None)).status == "promoted"
    assert moves.judge(judged(two, one)).status == "promoted"
    assert moves.judge(judged(three, one)).status == "refused"
    assert registry.aliases() == {CANDIDATE: three, CHAMPION: two}
    release = registry.release(CHAMPION)
    assert release is not None and release.measured == fingerprint(adapter="adapter-2")
    assert recorded_in(client.get_model_version("tiny", one).tags) == fingerprint(adapter="adapter-1")
    assert moves.roll_back().champion == one
    assert moves.roll_back("base").champion is None
    assert registry.aliases() == {CANDIDATE: three}
    client.set_registered_model_alias("tiny", CHAMPION, three)  # as on MLflow's page
    past = moves_of("tiny", tmp_path / "home").catch_up()
    assert past.last is not None and (past.last.move.kind, past.champion) == ("outside", three)
    assert past.last.move.round == "0003-abc" and past.last.who.in_words == here().in_words
    assert {entry.who.run for entry in past.champions} == {"brave-fox (42)", ""}
    assert set(registry.tags()) == {"wheelwork.champion", f"wheelwork.journal.{past.digests[0][:16]}"}


FORKING = """
import json, pathlib, random, sys
from wheelwork.benchmarks.registry import AGAIN, killed, raced
from wheelwork.benchmarks.registry_processes import FAULTS, prepared, warmed
folder, migrated = map(pathlib.Path, sys.argv[1:])
warmed(migrated)
kills = killed(prepared(folder / "killed", migrated), 5, random.Random(1), first=2)
races = raced(prepared(folder / "raced", migrated), 2)
told = [{figure.metric: figure.value for figure in figures} for figures in (kills, races)]
print(json.dumps([*told, FAULTS, AGAIN]))
"""


def test_a_handful_of_kills_and_races_leaves_nothing_unexplained(tmp_path: Path, migrated: Path) -> None:
    # in a process of its own: what forks should have no threads, and others' tests leave some
    command = [sys.executable, "-c", FORKING, str(tmp_path / "work"), str(migrated)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    kills, races, faults, again = json.loads(ran.stdout.splitlines()[-1])
    assert kills["kills"] == 5 == sum(value for name, value in kills.items() if name.startswith("found "))
    assert {kills[name] for name in (*faults, again)} == {0}
    assert (races["races"], races["between two state folders"]) == (2, 1)
    never = (*faults, "both promoted", "neither promoted", "the second not refused")
    assert {races[name] for name in never} == {0}


# when MLflow does not do as asked


def test_a_locked_database_is_told_and_the_champion_stays(
    registry: ModelRegistry, versions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = moves_of("tiny", tmp_path / "home")
    moves.judge(judged(versions[0], None))
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        _impatient(monkeypatch)
        with pytest.raises(DependencyError, match=r"MLflow did not do as asked .*locked"):
            moves_of("tiny", tmp_path / "home").judge(judged(versions[1], versions[0]))
        other.execute("ROLLBACK")
    assert registry.aliases() == {CANDIDATE: versions[0], CHAMPION: versions[0]}
    assert moves_of("tiny", tmp_path / "home").judge(judged(versions[1], versions[0])).status == "promoted"


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow waits 20 s for a lock; here it waits a tenth of one."""
    from mlflow.store.db.utils import sql

    text = sql.text
    monkeypatch.setattr(sql, "text", lambda said: text(said.replace("= 20000", "= 100")))


def test_a_server_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        moves = moves_of("tiny", tmp_path / "home")
        for act in (moves.catch_up, moves.roll_back, lambda: moves.judge(judged("1", None))):
            with pytest.raises(DependencyError, match="MLflow did not do as asked"):
                act()
    assert not (tmp_path / "home" / "registry").exists()
