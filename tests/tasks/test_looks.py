"""How often a holdout was looked at, by suite; a rotation or an edit begins anew, and is told."""

from pathlib import Path

import pytest
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.evaluation.holdouts.rotation import read_reserve, rotate
from wheelwork.core.loops import Loop, load_loop
from wheelwork.tasks.looks import changed_since, look_of, looking_at, looks_at_suites
from wheelwork.tests.e2e.command import rows, tiny_loop, write_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tiny_loop(tmp_path / "loop", models=False)
    write_rows(made / "reserve.jsonl", rows(40, start=300))
    return made


@pytest.fixture
def tracking(mlflow_uri: str, tmp_path: Path) -> Tracking:
    return Tracking("tiny", tmp_path / "home")


def targets(loop: Loop) -> str:
    return "all of " + loop.suites["holdout"].digest


def ended(tracking: Tracking, loop: Loop, number: int, adapter: str) -> None:
    run = tracking.open_run(f"{number:04d}-a", looking_at(loop, targets(loop), number))
    tracking.log(run, tags={"wheelwork.adapter": adapter})
    tracking.end_run(run)


def test_looks_are_counted_by_suite_and_spend_alpha(tracking: Tracking, folder: Path) -> None:
    loop = load_loop(folder)
    assert look_of(tracking, loop, targets(loop), "a") == 1
    ended(tracking, loop, 0, "a")
    ended(tracking, loop, 1, "b")
    ended(tracking, loop, 2, "b")  # the same adapter again is no further look
    ended(tracking, loop, 3, "")  # a round that trained nothing looked at nothing
    assert look_of(tracking, loop, targets(loop), "a") == 2
    assert look_of(tracking, loop, targets(loop), "c") == 3
    looks = looks_at_suites(tracking, loop)
    assert (looks["holdout"].taken, looks["general"].taken) == (2, 2)
    assert looks["holdout"].next_alpha == pytest.approx(0.05 / 12) and looks["holdout"].left == pytest.approx(0.05 / 3)
    assert looks["general"].left == 0


def test_a_rotation_begins_anew_and_is_told(tracking: Tracking, folder: Path) -> None:
    loop = load_loop(folder)
    assert changed_since(tracking, loop) == []
    ended(tracking, loop, 0, "a")
    assert changed_since(tracking, loop) == []
    rotate(loop, "holdout", read_reserve(loop, "holdout", folder / "reserve.jsonl"), clock=lambda: 1_800_000_000.0)
    fresh = load_loop(folder)
    assert look_of(tracking, fresh, targets(fresh), "b") == 1
    (note,) = changed_since(tracking, fresh)
    assert note.startswith("The suite `holdout` was rotated on 2027-01-15 (") and "counted anew" in note


def test_an_edit_by_hand_is_told(tracking: Tracking, folder: Path) -> None:
    ended(tracking, load_loop(folder), 0, "a")
    write_rows(folder / "holdout.jsonl", rows(15, start=100))
    (note,) = changed_since(tracking, load_loop(folder))
    assert "`holdout` was edited (" in note and "not compared" in note


def test_a_fresh_target_does_not_make_a_worn_one_fresh(tracking: Tracking, folder: Path) -> None:
    loop = load_loop(folder)
    for number in range(3):
        ended(tracking, loop, number, f"adapter {number}")
    second = {"role": "target", "path": "reserve.jsonl"}
    both = load_loop(
        tiny_loop(
            folder, models=False, suites={"holdout": {"role": "target", "path": "holdout.jsonl"}, "other": second}
        )
    )
    assert look_of(tracking, both, "all of both", "new") == 4
