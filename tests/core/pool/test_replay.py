"""Replay: how many, from which categories, which first, and only what still fits."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wheelwork.core.loops import Loop, load_loop
from wheelwork.core.pool.replay import Drawn, Replay, draw, shares
from wheelwork.core.pool.store import Pool
from wheelwork.core.pool.versions import View
from wheelwork.core.samples import Sample
from wheelwork.tests.core.pool.rows import LABELS, a_pool, conclude, sample, samples
from wheelwork.tests.e2e.command import tiny_loop

FRESH = samples(60, start=500)


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return load_loop(tiny_loop(tmp_path / "loop", models=False))


def drawn(
    loop: Loop,
    pool: Pool,
    replay: Replay | None = None,
    *,
    fresh: list[Sample] = FRESH,
    excluded: Iterable[str] = (),
    seed: int = 0,
    version: str | None = None,
) -> Drawn:
    view = pool.view(version or pool.head())
    return draw(replay or Replay(), view, fresh, pool.samples, loop.present, excluded=excluded, seed=seed)


# how many


@pytest.mark.parametrize(("share", "fresh", "wanted"), [(0.15, 85, 15), (0.5, 40, 40), (0, 100, 0), (0.15, 0, 0)])
def test_the_share_is_of_old_and_new_together(share: float, fresh: int, wanted: int) -> None:
    assert Replay(share=share).wanted(fresh) == wanted


@pytest.mark.parametrize("wrong", [{"share": 0.95}, {"share": -0.1}, {"half_life": 0}, {"marked": ["promoted"]}])
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Replay(**wrong)


COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60), max_size=6)


@given(COUNTS, COUNTS, st.integers(0, 200))
def test_shares_spend_all_that_there_is_and_no_more(fresh: dict[str, int], there: dict[str, int], total: int) -> None:
    given = shares(fresh, there, total)
    assert given.keys() == there.keys()
    assert sum(given.values()) == min(total, sum(there.values()))
    assert all(0 <= given[name] <= there[name] for name in there)


def test_scarce_categories_come_first() -> None:
    assert shares({"a": 50, "b": 50, "c": 2}, {"a": 99, "b": 99, "c": 99}, 18) == {"a": 0, "b": 0, "c": 18}
    assert shares({"a": 10, "b": 10}, {"a": 50, "b": 50}, 10) == {"a": 5, "b": 5}
    assert shares({"a": 10}, {"a": 3, "b": 4}, 20) == {"a": 3, "b": 4}  # all there is
    assert shares({"a": 90, "b": 0}, {"a": 50, "b": 2}, 10) == {"a": 8, "b": 2}


# which


def test_a_draw_depends_on_version_and_seed_alone(loop: Loop, tmp_path: Path) -> None:
    pool = a_pool(tmp_path / "a", rounds=2, rows=60)
    again = a_pool(tmp_path / "b", rounds=2, rows=60)
    first = drawn(loop, pool, seed=3)
    assert first == drawn(loop, again, seed=3) and len(first.samples) == len(first.ids) == 11
    assert set(first.ids) != set(drawn(loop, pool, seed=4).ids)
    version = pool.head()
    conclude(pool, 2, samples(60, start=120))
    assert drawn(loop, pool, seed=3, version=version) == first


def test_the_labels_are_drawn_evenly_from_a_pool_that_is_not_even(loop: Loop, tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, [*samples(30), *(sample(f"c{n} d{n * 3} e{n * 5}", "line") for n in range(300))])
    got = drawn(loop, pool, Replay(share=0.2), fresh=samples(60, start=500))
    assert Counter(one.label for one in got.samples) == dict.fromkeys(LABELS, 5)


def chances(pool: Pool, replay: Replay, id: str, place: int = 10) -> float:
    """How often the entry is among the first `place` of its category, over seeds."""
    view = pool.view(pool.head())
    (category,) = {entry.category for entry in view.entries.values() if entry.id == id}
    orders = (replay.ranked(view, seed)[category] for seed in range(300))
    return sum(id in [entry.id for entry in order[:place]] for order in orders) / 300


def test_better_scores_are_drawn_more_often_and_unknown_ones_lie_between(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    rows = [sample(f"text {n}", scores={"label_margin": n / 40}) for n in range(40)]
    unknown, person = sample("unknown"), sample("written", origin="feedback")
    conclude(pool, 0, [*rows, unknown, person])
    low, middle, high, own = (chances(pool, Replay(), one.id) for one in (rows[0], unknown, rows[-1], person))
    assert low < middle - 0.05 < high - 0.1 and own == pytest.approx(high, abs=0.1)
    assert chances(pool, Replay(by="other"), rows[0].id) == pytest.approx(10 / 42, abs=0.1)


def test_older_samples_are_drawn_less_often(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    for number in range(3):
        conclude(pool, number, [sample(f"text {number} {n}") for n in range(20)])
    old, new = sample("text 0 1"), sample("text 2 1")
    assert chances(pool, Replay(half_life=1), old.id) < 0.12 < chances(pool, Replay(half_life=1), new.id)
    assert chances(pool, Replay(half_life=1e6), old.id) == pytest.approx(1 / 6, abs=0.08)


@pytest.mark.parametrize("verdict", ["rejected", "inconclusive"])
def test_marked_samples_are_drawn_only_where_the_loop_names_them(loop: Loop, tmp_path: Path, verdict: Any) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, samples(60), verdict)
    assert drawn(loop, pool).samples == []
    assert len(drawn(loop, pool, Replay(marked=(verdict,))).samples) == 11


def test_excluded_ids_and_what_is_new_are_not_drawn(loop: Loop, tmp_path: Path) -> None:
    pool = a_pool(tmp_path, rows=30)
    ids = [row.id for row in samples(30)]
    got = drawn(loop, pool, Replay(share=0.5), excluded=ids[:10])
    assert set(got.ids) == set(ids[10:])
    assert set(drawn(loop, pool, Replay(share=0.5), fresh=[*samples(5), *FRESH]).ids) == set(ids[5:])


def test_weights_are_multiplied(loop: Loop, tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, samples(30, weight=2.0))
    assert {one.weight for one in drawn(loop, pool, Replay(weight=0.25)).samples} == {0.5}


# what still fits


def test_held_out_texts_are_passed_over_even_when_the_suite_came_later(loop: Loop, tmp_path: Path) -> None:
    held = [item.prompt for item in loop.suites["holdout"].items][:20]
    pool = Pool(tmp_path, "tiny")
    near = f"{held[0]} tail"
    conclude(pool, 0, [sample(text.upper(), "line") for text in held] + [sample(near), sample("a b c d e f")])
    got = drawn(loop, pool, Replay(share=0.9))
    assert [one.prompt for one in got.samples] == ["a b c d e f"]
    assert got.passed_over == {"held_out": 20, "near_held_out": 1}


def test_what_seeds_or_new_samples_say_already_is_passed_over(loop: Loop, tmp_path: Path) -> None:
    seed, new = loop.seeds[0].text, FRESH[0].prompt
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, [sample(f"{seed}!"), sample(new.upper()), sample("a b c d e f")])
    got = drawn(loop, pool, Replay(share=0.5))
    assert [one.prompt for one in got.samples] == ["a b c d e f"] and got.passed_over == {"said_already": 2}


def test_others_take_the_place_of_those_passed_over(loop: Loop, tmp_path: Path) -> None:
    held = [item.prompt for item in loop.suites["holdout"].items][:4]
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, [*(sample(text, "line") for text in held), *samples(90)])
    assert len(drawn(loop, pool, Replay(share=0.4)).samples) == Replay(share=0.4).wanted(60)


def test_samples_of_another_prompt_are_put_under_the_present_one(loop: Loop, tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    old = [sample(f"a{n} b{n} c{n}", "wifi", system="An old prompt.") for n in range(20)]
    conclude(pool, 0, old)
    got = drawn(loop, pool, Replay(share=0.1))
    for id, one in zip(got.ids, got.samples, strict=True):
        (before,) = (row for row in old if row.id == id)
        assert (
            one.messages[0] == loop.material.seed_samples()[0].messages[0] and one.messages[1:] == before.messages[1:]
        )
        assert (one.parent_id, one.label, one.origin) == (id, "wifi", "teacher") and one.id != id
    assert len(got.ids) == 7


def test_labels_that_the_loop_no_longer_has_are_passed_over(loop: Loop, tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, [sample("a b c d", "gone"), sample("e f g h", "bill")])
    got = drawn(loop, pool)
    assert [one.label for one in got.samples] == ["bill"] and got.passed_over == {"unknown_label": 1}


def test_nothing_is_drawn_from_an_empty_view(loop: Loop) -> None:
    assert draw(Replay(), View(), FRESH, lambda _: [], loop.present, excluded=(), seed=0) == Drawn([], (), {})
