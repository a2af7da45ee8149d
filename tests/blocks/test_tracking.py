"""MLflow behind one class: what is found again, what is made once, where the aliases point."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError
from wheelwork.blocks.tracking import Tracking, explained, flattened
from wheelwork.core.errors import DependencyError


def finished(tracking: Tracking, name: str, **tags: str) -> str:
    run = tracking.open_run(name, {f"wheelwork.{tag}": value for tag, value in tags.items()})
    tracking.end_run(run)
    return run


# runs


def test_an_unfinished_run_is_found_again(tracking: Tracking, tmp_path: Path) -> None:
    run = tracking.open_run("0000-abc", {})
    assert tracking.open_run("0000-abc", {}) == run
    assert Tracking("tiny", tmp_path / "home").open_run("0000-abc", {}) == run
    assert tracking.open_run("0001-abc", {}) != run


def test_a_round_that_ended_gets_a_new_run(tracking: Tracking) -> None:
    first = finished(tracking, "0000-abc")
    second = tracking.open_run("0000-abc", {})
    assert second != first
    assert tracking.open_run("0000-abc", {}) == second


def test_every_round_lies_under_the_one_run_of_the_loop(tracking: Tracking, client: MlflowClient) -> None:
    runs = [finished(tracking, f"000{n}-abc") for n in range(3)]
    parents = {client.get_run(run).data.tags["mlflow.parentRunId"] for run in runs}
    (parent,) = parents
    assert client.get_run(parent).data.tags["wheelwork.kind"] == "loop"
    assert len(client.search_runs([tracking.experiment])) == 4


def test_threads_that_know_the_run_write_to_it_alone(tracking: Tracking, client: MlflowClient) -> None:
    run = tracking.open_run("0000-abc", {})

    def write(number: int) -> str:
        found = tracking.open_run("0000-abc", {})
        tracking.log(found, metrics={f"figure.{number}": number})
        return found

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write, range(8))) == {run}
    assert client.get_run(run).data.metrics == {f"figure.{n}": float(n) for n in range(8)}
    assert len(client.search_runs([tracking.experiment])) == 2


def test_a_run_of_its_own_kind_is_made_once_and_no_round(tracking: Tracking, client: MlflowClient) -> None:
    run = tracking.run_of("traffic")
    assert tracking.run_of("traffic") == run != tracking.run_of("other")
    tracking.end_run(run)
    assert tracking.run_of("traffic") == run and tracking.rounds() == 0
    assert client.get_run(run).data.tags["mlflow.parentRunId"]


def test_only_points_that_changed_are_written(tracking: Tracking, client: MlflowClient) -> None:
    run = tracking.run_of("traffic")
    assert tracking.log_changed(run, {"a": {1: 0.5, 2: 0.25}, "b": {1: 1.0}}) == 3
    assert tracking.log_changed(run, {"a": {1: 0.5, 2: 0.75}, "b": {1: 1.0}}) == 1
    assert tracking.log_changed(run, {"a": {1: 0.5, 2: 0.75}, "b": {1: 1.0}}) == 0
    assert sorted((p.step, p.value) for p in client.get_metric_history(run, "a")) == [(1, 0.5), (2, 0.25), (2, 0.75)]
    assert tracking.log_changed(run, {}) == 0


def test_loops_do_not_see_each_other(tracking: Tracking, tmp_path: Path) -> None:
    run = tracking.open_run("0000-abc", {})
    other = Tracking("other", tmp_path / "home")
    assert other.open_run("0000-abc", {}) != run
    assert other.experiment != tracking.experiment


def test_rounds_that_ended_are_counted(tracking: Tracking) -> None:
    assert tracking.rounds() == 0
    finished(tracking, "0000-abc")
    tracking.open_run("0001-abc", {})
    assert tracking.rounds() == 1


def test_looks_are_other_adapters_judged_by_the_same_suites(tracking: Tracking) -> None:
    finished(tracking, "a", suites="s", adapter="one")
    finished(tracking, "a", suites="s", adapter="one")  # the same round again
    finished(tracking, "b", suites="s", adapter="two")
    finished(tracking, "c", suites="other", adapter="three")
    finished(tracking, "d", suites="s")  # it ended before there was an adapter
    tracking.open_run("e", {"wheelwork.suites": "s", "wheelwork.adapter": "four"})  # still running
    assert tracking.looks("s", except_adapter="new") == 2
    assert tracking.looks("s", except_adapter="one") == 1
    assert tracking.looks("never", except_adapter="new") == 0


# what is logged


def test_figures_parameters_and_curves_arrive(tracking: Tracking, client: MlflowClient) -> None:
    run = tracking.open_run("0000-abc", {})
    tracking.log(
        run,
        params={"train": {"rank": 4}, "long": "x" * 7000},
        metrics={"kept": 3},
        curve={"train.loss": {1: 2.0, 2: 1.0}},
        tags={"wheelwork.data": "d"},
    )
    data = client.get_run(run).data
    assert data.params == {"train.rank": "4", "long": "x" * 6000}
    assert data.metrics == {"kept": 3.0, "train.loss": 1.0}
    assert data.tags["wheelwork.data"] == "d"
    assert [(p.step, p.value) for p in client.get_metric_history(run, "train.loss")] == [(1, 2.0), (2, 1.0)]


def test_many_points_and_parameters_fit(tracking: Tracking, client: MlflowClient) -> None:
    run = tracking.open_run("0000-abc", {})
    tracking.log(run, params={f"p{n}": n for n in range(150)}, curve={"loss": {n + 1: float(n) for n in range(1500)}})
    assert len(client.get_run(run).data.params) == 150
    assert client.get_run(run).data.metrics["loss"] == 1499


def test_a_round_that_is_resumed_may_log_the_same_again(tracking: Tracking, client: MlflowClient) -> None:
    run = tracking.open_run("0000-abc", {})
    for _ in range(2):
        tracking.log(run, params={"seed": 0}, metrics={"kept": 3})
    assert client.get_run(run).data.params == {"seed": "0"}


def test_a_table_written_twice_is_one_table(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    run = tracking.open_run("0000-abc", {})
    columns = ["text", "score"]
    tracking.log_table(run, [{"text": "old", "score": 0.1}], columns, "samples/kept.json")
    tracking.log_table(run, [{"text": "línea", "score": 0.5}, {"text": "y"}], columns, "samples/kept.json")
    tracking.log_table(run, [], columns, "samples/dropped.json")
    table = json.loads(Path(client.download_artifacts(run, "samples/kept.json", str(tmp_path))).read_text("utf-8"))
    assert table == {"columns": ["text", "score"], "data": [["línea", 0.5], ["y", None]]}
    listed = json.loads(client.get_run(run).data.tags["mlflow.loggedArtifacts"])
    assert [entry["path"] for entry in listed] == ["samples/kept.json", "samples/dropped.json"]


@pytest.mark.parametrize(
    ("settings", "flat"),
    [
        ({}, []),
        ({"a": {"b": {"c": 1}}, "d": True}, [("a.b.c", "1"), ("d", "True")]),
        ({"filters": [{"kind": "rules"}], "none": None}, [("filters", '[{"kind":"rules"}]'), ("none", "None")]),
        ({"targets": ("q", "v")}, [("targets", '["q","v"]')]),
    ],
)
def test_nested_settings_become_dotted_names(settings: dict[str, Any], flat: list[tuple[str, str]]) -> None:
    assert list(flattened(settings)) == flat


# when MLflow does not do as asked


def test_a_store_that_is_no_database_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'broken.db'}")
    (tmp_path / "broken.db").write_bytes(b"no database at all, but long enough to be read as a page" * 20)
    with pytest.raises(DependencyError, match="MLflow did not do as asked") as caught:
        Tracking("tiny", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_gone_is_told_in_one_sentence(tracking: Tracking) -> None:
    with pytest.raises(DependencyError, match="MLflow did not do as asked"):
        tracking.end_run("0" * 32)


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("database is locked\nand more"),
        OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked")),
        ConnectionRefusedError("database is locked"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_did_not_answer_can_be_tried_again(error: Exception) -> None:
    with pytest.raises(DependencyError, match="database is locked") as caught, explained():
        raise error
    assert "and more" not in str(caught.value) and caught.value.__cause__ is error


def test_our_own_bugs_are_not_blamed_on_mlflow() -> None:
    with pytest.raises(KeyError), explained():
        raise KeyError("adapter_digest")
