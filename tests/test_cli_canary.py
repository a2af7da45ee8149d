"""`wheelwork canary`, as typed, while a gateway runs or does not."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner
from wheelwork.cli import app
from wheelwork.core.errors import ConfigError, RegistryError
from wheelwork.tests.core.serving.canary.parts import LOOP, Service


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "loop"
    folder.mkdir()
    (folder / "loop.yaml").write_text(f"name: {LOOP}\n")
    return str(folder)


def run(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["canary", *arguments], env={"COLUMNS": "200"})
    if ran.exception is not None:
        raise ran.exception
    return " ".join(ran.output.split())


def gateway(tmp_path: Path) -> Service:
    service = Service(tmp_path / "home").promoted()
    service.now = time.time()
    trial = service.canary.remembered.trial
    assert trial is not None
    trial.since = trial.begun = service.now - 600
    service.many(200)
    service.canary.decide()
    return service


@contextmanager
def looking(service: Service) -> Iterator[None]:
    """A gateway that looks often, in a thread of its own."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            service.now = time.time()
            service.canary.decide()

    thread = threading.Thread(target=look)
    thread.start()
    yield
    over.set()
    thread.join()


def test_without_a_gateway_or_a_trial_that_is_said(tmp_path: Path, loop: str) -> None:
    assert run("status", loop) == "router: no version is on trial. No gateway has served this loop yet."
    with pytest.raises(
        RegistryError, match=r"no version is on trial, so there is nothing to hold; .*tells who is champ"
    ):
        run("hold", loop)
    service = Service(tmp_path / "home")
    service.canary.champion_moved(None, "1", "start")
    service.canary.decide()
    assert run("status", loop) == "router: no version is on trial. Everybody gets version 1."


def test_status_says_share_counts_and_evidence_in_words(tmp_path: Path, loop: str) -> None:
    gateway(tmp_path)
    told = run("status", loop)
    assert "version 2 is on trial against version 1, the tests decide. Stage 1 of 2: 5% of users, for 10 min;" in told
    assert "evidence of harm 1 to 1, 160 to 1 rolls back" in told
    assert "displeasure: unknown, there was none" in told
    assert "The evidence holds: the candidate had" in told and "trial of version 2 against version 1 begins" in told
    as_json = json.loads(CliRunner().invoke(app, ["canary", "status", loop, "--json"]).output)
    assert as_json["trial"]["candidate"] == "2" and as_json["trial"]["ruling"]["act"] == "hold"
    assert sum(as_json["trial"]["requests"].values()) == 200
    assert [one["kind"] for one in as_json["trial"]["findings"]] == ["errors", "latency", "feedback", "collapse"]


def test_an_order_is_carried_out_by_the_gateway_that_runs(tmp_path: Path, loop: str) -> None:
    service = gateway(tmp_path)
    with looking(service):
        assert "held by" in run("hold", loop, "--reason", "a holiday")
        assert run("hold", loop) == "router: nothing to do, that is so already."
        assert "held by a person" in run("status", loop) and "Reason: a holiday" in run("status", loop)
        assert "goes on by" in run("resume", loop)
        assert "widened by" in run("widen", loop)
        assert "to be rolled back to version 1 by" in run("stop", loop, "--reason", "rude")
    assert service.moved[0][:2] == ("2", "1") and service.moved[0][2].endswith("stopped the trial: rude")


def test_an_order_waits_for_the_next_gateway(tmp_path: Path, loop: str) -> None:
    service = gateway(tmp_path)
    service.canary.remembered.looked = 0
    service.canary._state.write(service.canary._state.as_text(service.canary.remembered))
    assert run("widen", loop).startswith("router: written down. No gateway has looked yet;")
    assert "not carried out yet: widen." in run("status", loop)
    service.start()
    assert service.acts() == ["widen"]


def test_settings_of_the_loop_count_and_mistakes_are_told(tmp_path: Path, loop: str) -> None:
    gateway(tmp_path)
    file = Path(loop) / "loop.yaml"
    file.write_text(f"name: {LOOP}\nserve:\n  canary:\n    stages: [0.05, 1.0]\n")
    assert "Stage 1 of 1" in run("status", loop)
    file.write_text(f"name: {LOOP}\nserve:\n  canary: off\n")
    assert "past the stages that the settings have now" in run("status", loop)
    file.write_text(f"name: {LOOP}\nserve:\n  canary:\n    stages: [0.05]\n")
    with pytest.raises(ConfigError, match=r"serve\.canary: `stages`: give shares above 0 of which the last is 1"):
        run("status", loop)
