"""A training in MLflow while it runs: in batches, each step once, and without MLflow too."""

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.errors import DependencyError
from wheelwork.core.training.control.step import Step
from wheelwork.tasks.live import LOSS, VALIDATION, Live, shown_live


class Clock:
    """Stands still until it is put forward."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def step(number: int, **told: float) -> Step:
    return Step(number, 9, 1 / number, 0.1, tokens_per_second=50.0, memory=1000, **told)  # type: ignore[arg-type]


@pytest.fixture
def tracking(mlflow_uri: str, tmp_path: Path) -> Tracking:
    return Tracking("tiny", tmp_path / "home")


def curve(tracking: Tracking, run: str, name: str = LOSS) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in MlflowClient(tracking.uri).get_metric_history(run, name)]


def test_figures_arrive_in_batches_while_it_runs(tracking: Tracking) -> None:
    run, clock = tracking.open_run("0000-abc", {}), Clock()
    live = Live(tracking, run, every=5, clock=clock)
    live(step(1, gradient_variance=0.5))
    assert curve(tracking, run) == []
    clock.now += 6
    live(step(2, validation_loss=float("nan")))
    assert curve(tracking, run) == [(1, 1.0), (2, 0.5)]
    live(step(3, validation_loss=0.7))
    assert len(curve(tracking, run)) == 2
    live.flush()
    assert len(curve(tracking, run)) == 3
    assert curve(tracking, run, VALIDATION) == [(3, 0.7)]  # what is no number is not written
    assert curve(tracking, run, "train.gradient_variance") == [(1, 0.5)]
    assert curve(tracking, run, "train.step_tokens_per_second")[0] == (1, 50.0)
    assert curve(tracking, run, "train.learning_rate")[0] == (1, 0.1)
    assert curve(tracking, run, "train.memory")[0] == (1, 1000.0)


def test_a_step_that_is_taken_again_is_written_once_and_the_round_adds_what_is_missing(tracking: Tracking) -> None:
    run = tracking.open_run("0000-abc", {})
    with shown_live("tiny", Path("unused"), run) as live:
        for number in (1, 2):
            live(step(number))
    with shown_live("tiny", Path("unused"), run) as live:  # killed, and on from step 1
        for number in (2, 3):
            live(step(number))
    tracking.log(run, curve={LOSS: {n: 1 / n for n in range(1, 6)}})
    assert curve(tracking, run) == [(n, 1 / n) for n in range(1, 6)]


def test_mlflow_that_does_not_answer_holds_nothing_up(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, clock = tracking.open_run("0000-abc", {}), Clock()

    def locked(*_: object) -> None:
        raise DependencyError("MLflow did not do as asked (database is locked)")

    live = Live(tracking, run, every=0, clock=clock)
    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, logger="wheelwork"):
        broken.setattr(tracking, "log_points", locked)
        live(step(1))
        live(step(2))
    assert [record.getMessage()[:40] for record in caplog.records] == ["the curves of the training are not live "]
    live(step(3))
    assert [number for number, _ in curve(tracking, run)] == [1, 2, 3]


def test_without_a_run_nothing_is_shown() -> None:
    with shown_live("tiny", Path("unused"), "") as live:
        live(step(1))
