"""The benchmark of focus and order: every kind has an arm, each is held against the plain one on its own data."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from wheelwork.benchmarks.cells import Cell
from wheelwork.benchmarks.focus import ALIKE, MIXED, PLAIN, QUICK, SETS, beside, compared, figures, graded
from wheelwork.core.evaluation.holdouts.leaks import find_leaks, held_out_in, learnt_from
from wheelwork.core.loops import load_loop
from wheelwork.core.naming import find_loop
from wheelwork.core.training.focus.order import GRADE
from wheelwork.core.training.settings import Training


def kinds(field: str) -> set[str]:
    """The kinds that `train.FIELD` knows."""
    schema: dict[str, Any] = Training.model_json_schema()["properties"][field]
    return set(cast("dict[str, Any]", schema.get("items", schema))["discriminator"]["mapping"])


def test_every_kind_has_an_arm_that_is_a_training() -> None:
    arms = {arm: changes for named in SETS for arm, changes in named.items()}
    trainings = [Training.model_validate(changes) for changes in arms.values()]
    assert {one.kind for training in trainings for one in training.focus} == kinds("focus")
    assert {training.order.kind for training in trainings} == kinds("order")
    assert set(QUICK) <= set(arms) and {beside(arm) for arm in arms} == {PLAIN, ALIKE, MIXED}
    assert len({training.model_dump_json() for training in trainings}) == len(arms) - 3, (
        "three are plain, two go by length"
    )


def test_what_was_written_to_grades_is_even_and_copies_nothing_that_is_held_out() -> None:
    loop = load_loop(find_loop("home_broadband"))
    samples = graded(loop, [])
    counts = Counter((sample.label, sample.controls[GRADE]) for sample in samples)
    assert counts == {(label, grade): 4 for label in loop.labels for grade in ("1", "3", "5")}
    everything = [*samples, *loop.material.seed_samples()]
    assert len({sample.id for sample in everything}) == len(everything)
    assert find_leaks(learnt_from(samples, "graded"), held_out_in(loop.suites), loop.settings.leaks).leaks == []


def test_grades_are_those_of_the_loop_where_it_asks_for_some(tmp_path: Path) -> None:
    own = find_loop("home_broadband")
    asks = tmp_path / "asks"
    shutil.copytree(own, asks)
    with (asks / "loop.yaml").open("a", encoding="utf-8") as settings:
        settings.write("generate: { templates: { write: 1 }, controls: { difficulty: [1, 5] } }\n")
    kept = graded(load_loop(own), [])[:3]
    assert graded(load_loop(asks), kept) == kept
    assert graded(load_loop(find_loop("policy_qa")), kept) == [], "it has no labels, and asks for none"


def cell(arm: str, seed: int, *scores: float | None) -> Cell:
    return Cell(arm, seed, rows=10, steps=5 + seed, seconds=1.0, scores=list(scores))


def test_each_arm_is_compared_with_the_plain_one_on_its_data() -> None:
    right = {PLAIN: (0.0, 1.0), "top loss": (1.0, 1.0), ALIKE: (1.0, 0.0), "pseudo, confidence": (0.0, 0.0)}
    cells = [cell(arm, seed, *scores) for arm, scores in right.items() for seed in (0, 1)]
    found = {one.arm: one for one in compared(cells, ["a", "b"])}
    assert (found["top loss"].beside, found["top loss"].gain, found["top loss"].right) == (PLAIN, 0.5, 1.0)
    assert (found["pseudo, confidence"].beside, found["pseudo, confidence"].gain) == (ALIKE, -0.5)
    assert found["top loss"].seeds == pytest.approx((0.5, 0.5))
    assert found["top loss"].items[0] <= 0.5 <= found["top loss"].items[1]
    assert found[PLAIN].steps == 5.5
    told = {one.metric: one.value for one in figures("loop", list(found.values()), 2)}
    assert told["top loss - plain"] == 0.5 and told["pseudo, confidence - pseudo, all alike"] == -0.5
    assert told["top loss - plain, 95% over seeds, from"] == pytest.approx(0.5)
    assert "plain - plain" not in told
    once = figures("loop", list(compared([one for one in cells if one.seed == 0], ["a", "b"])), 2)
    assert not any("over seeds" in one.metric for one in once), "one seed tells nothing about others"
