"""Rounds that are steered, by the real command: validation, live curves, and ends before a training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from wheelwork.tests.e2e.command import Command, Ran, tiny_loop, write_config

TRAIN = {"rank": 16, "epochs": 10, "batch_size": 8, "learning_rate": 0.01}
STEERED = TRAIN | {"control": {"validation": {"share": 0.15, "every": 10, "fewest": 5}, "rate": {}}}
NOTHING_TEACHES = TRAIN | {"start": "champion", "control": {"worth": {"max_cosine": -1, "max_loss": 1000}}}
NOTHING_KEPT = {"filters": [{"kind": "rules", "min_words": 500, "max_words": 501}]}


@dataclass(frozen=True)
class Rounds:
    """A steered round, one that has nothing to learn, and one whose funnel keeps nothing."""

    steered: dict[str, Any]
    untrained: dict[str, Any]
    untrained_ran: Ran
    empty: Ran
    client: MlflowClient


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory, migrated: Path, server: str) -> Rounds:
    folder = tmp_path_factory.mktemp("control")
    loop = tiny_loop(folder / "loop", train=STEERED)
    command = Command(folder / "home", folder / "models", migrated.parent, server)

    def improve(seed: str) -> tuple[Ran, dict[str, Any]]:
        report = folder / f"{seed}.json"
        ran = command.run("improve", str(loop), "--seed", seed, "--report", str(report))
        return ran, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}

    ran, steered = improve("0")
    assert ran.code == 0, ran.err
    write_config(loop, train=NOTHING_TEACHES)
    untrained_ran, untrained = improve("0")
    write_config(loop, funnel=NOTHING_KEPT)
    empty, _ = improve("0")
    client = MlflowClient(tracking_uri=f"sqlite:///{command.home / 'mlflow.db'}")
    return Rounds(steered, untrained, untrained_ran, empty, client)


def test_the_curves_stand_in_mlflow_each_step_once(rounds: Rounds, tmp_path: Path) -> None:
    run, train = rounds.steered["mlflow"]["run_id"], rounds.steered["train"]
    for name in ("loss", "learning_rate", "gradient_norm", "step_tokens_per_second", "memory"):
        curve = rounds.client.get_metric_history(run, f"train.{name}")
        assert [point.step for point in curve] == list(range(1, train["steps"] + 1)), name
    validation = rounds.client.get_metric_history(run, "train.validation_loss")
    assert [point.step for point in validation][:2] == [10, 20]
    assert min(point.value for point in validation) == pytest.approx(train["validation_loss"])
    folder = Path(rounds.client.download_artifacts(run, "", str(tmp_path)))
    assert "held back" in (folder / "loss.svg").read_text(encoding="utf-8")
    assert "its loss on samples held back is" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_round_that_has_nothing_to_learn_ends_before_it_trains(rounds: Rounds) -> None:
    report = rounds.untrained
    assert (rounds.untrained_ran.code, report["verdict"], report["suites"]) == (0, "inconclusive", {})
    assert report["reasons"][0].startswith("no improvement was expected, so nothing was trained: of ")
    assert report["train"]["samples"] == 0 and report["train"]["expected"]["teaching"] == 0
    assert "train" not in report["timings"] and report["timings"]["expect"] > 0
    assert report["adapter"] == {
        "version": rounds.steered["adapter"]["version"],
        "digest": rounds.steered["adapter"]["digest"],
        "path": report["adapter"]["path"],
    }
    run = rounds.client.get_run(report["mlflow"]["run_id"])
    assert run.info.status == "FINISHED" and run.data.metrics["expect.teaching"] == 0
    assert "Nothing was trained." in rounds.untrained_ran.out
    (version,) = rounds.client.search_model_versions("name = 'tiny'")
    assert version.run_id == rounds.steered["mlflow"]["run_id"]


def test_a_funnel_that_keeps_nothing_is_one_sentence_before_the_training(rounds: Rounds) -> None:
    assert rounds.empty.code == 2 and "Traceback" not in rounds.empty.err
    assert "the funnel kept none of" in rounds.empty.sentence and "`generate.samples: 0`" in rounds.empty.sentence
