"""The arithmetic of the benchmark that asks whether filtering helps, and that finished cells are not done again."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from wheelwork.benchmarks.cells import Bench, Cell, Planned, difference, few, item_means, seed_interval, share
from wheelwork.benchmarks.funnel import ARMS, arms, figures
from wheelwork.core.digests import digest_of
from wheelwork.core.evaluation.scorers import Item, Matches
from wheelwork.core.evaluation.suites import Suite, SuiteSettings
from wheelwork.core.samples import Message, Sample


def sample(text: str) -> Sample:
    return Sample.make([Message(role="user", content=text)], task="classify", origin="teacher")


RAW = [sample(f"text {number}") for number in range(20)]


def cell(arm: str, seed: int, *scores: float | None) -> Cell:
    return Cell(arm, seed, rows=10, steps=5, seconds=1.0, scores=list(scores))


def test_the_cut_arm_has_as_many_raw_samples_as_were_kept_and_the_same_for_the_same_seed() -> None:
    made = arms(RAW, RAW[:7], seed=3)
    assert tuple(made) == ARMS
    assert made["seeds"] == []
    assert made["raw"] == RAW
    assert made["filtered"] == RAW[:7]
    assert len(made["raw, cut"]) == 7
    assert {one.id for one in made["raw, cut"]} <= {one.id for one in RAW}
    assert made["raw, cut"] == arms(RAW, RAW[:7], seed=3)["raw, cut"] != arms(RAW, RAW[:7], seed=4)["raw, cut"]


def test_an_item_that_one_seed_left_unscored_counts_for_no_difference() -> None:
    assert share([1.0, 0.0, None]) == 0.5
    means = item_means([cell("raw", 0, 1.0, None, 0.0), cell("raw", 1, 0.0, 1.0, 0.0)])
    assert means == [0.5, None, 0.0]
    assert difference([1.0, 1.0, 0.0], means, ["a", "b", "c"])[0] == 0.25


def test_the_interval_of_a_difference_holds_it_and_is_a_point_where_all_items_agree() -> None:
    groups = [str(number) for number in range(40)]
    gain, low, high = difference([1.0] * 30 + [0.0] * 10, [0.5] * 40, groups)
    assert low < gain < high
    assert gain == pytest.approx(0.25)
    assert difference([1.0] * 40, [0.5] * 40, groups) == (0.5, 0.5, 0.5)
    one_source = difference([1.0] * 30 + [0.0] * 10, [0.5] * 40, ["same"] * 40)
    assert one_source == (0.25, 0.25, 0.25)


def test_figures_tell_means_spread_differences_and_on_how_many_seeds_filtering_did_no_harm() -> None:
    right = {"seeds": 0.0, "raw": 0.0, "filtered": 1.0, "raw, cut": 0.0}
    cells = [cell(arm, seed, right[arm], 1.0) for arm in ARMS for seed in (0, 1)]
    cells[ARMS.index("raw") * 2] = cell("raw", 0, 1.0, 1.0)  # as good as filtered on this seed
    cells[ARMS.index("filtered") * 2 + 1] = cell("filtered", 1, 0.0, 0.0)  # and worse on that one
    found = {figure.metric: figure.value for figure in figures("loop", cells, ["a", "b"])}
    assert found["raw: right, mean of 2 seeds"] == 0.75
    assert (found["raw: right, least"], found["raw: right, most"]) == (0.5, 1.0)
    assert found["filtered - raw"] == pytest.approx(-0.25)
    assert found["filtered - raw, 95% from"] <= -0.25 <= found["filtered - raw, 95% to"]
    assert found["seeds on which filtered is not below raw"] == 1
    assert found["raw: steps"] == 5


def test_few_items_are_spread_over_the_suite() -> None:
    items = tuple(Item(id=str(number), prompt=f"q{number}", answers=("a",)) for number in range(10))
    settings = SuiteSettings(role="target", path="x.jsonl", scorer=Matches())
    suite = Suite("holdout", settings, Path("x.jsonl"), items, tuple(range(1, 11)), "digest")
    assert [item.id for item in few(suite, 3).items] == ["0", "3", "6"]
    assert few(suite, 3).lines == (1, 4, 7)
    assert few(suite, 10) == few(suite, None) == suite


def test_a_cell_that_is_done_is_read_and_not_done_again(tmp_path: Path) -> None:
    bench = Bench(loop=cast(Any, None), base=cast(Any, None), work=tmp_path, epochs=3, suites=())
    done = cell("raw, cut", 2, 1.0, None)
    name = f"raw-cut-2-{digest_of([one.id for one in RAW])[:16]}.json"
    (tmp_path / name).write_text(json.dumps(done._asdict()), encoding="utf-8")
    assert bench.cell(Planned("raw, cut", 2, RAW)) == done


def test_the_interval_over_seeds_is_students_of_the_paired_differences() -> None:
    better = [cell("filtered", seed, *scores) for seed, scores in enumerate([(1.0, 1.0), (1.0, 0.0), (1.0, 0.0)])]
    worse = [cell("raw", seed, *scores) for seed, scores in enumerate([(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])]
    found = seed_interval(better, worse)  # 1/2, 0 and 1/2: mean 1/3, standard error 1/6, t with 2 degrees 4.3027
    assert found == pytest.approx((1 / 3 - 4.3027 / 6, 1 / 3 + 4.3027 / 6), abs=1e-4)
    assert seed_interval(better[:1], worse[:1]) is None
