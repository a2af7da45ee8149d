"""The plan: so many of each cell, the same for the same seed, examples of the category, memory that does not grow."""

import random
import time
from collections import Counter
from itertools import groupby, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.generation.documents import Passage
from wheelwork.core.generation.example import Example
from wheelwork.core.generation.planning import (
    GROUP,
    WAVES,
    Controls,
    Generation,
    Order,
    Shots,
    cell_of,
    next_wave,
    opening,
    plan,
    quotas,
)

CATEGORIES = ["offline", "billing", "move"]
unhurried = settings(deadline=None, max_examples=60)


def seeds_of(label: str, count: int) -> list[Example]:
    return [
        Example(text=f"{label}{n} is what number {n} says", answer=label, label=label, category=label, line=n)
        for n in range(count)
    ]


SEEDS = [row for label in CATEGORIES for row in seeds_of(label, 8)]
CONTROLS = st.builds(
    Controls,
    difficulty=st.lists(st.integers(1, 5), max_size=3, unique=True).map(tuple),
    style=st.lists(st.sampled_from(["terse", "chatty"]), unique=True).map(tuple),
)
WISHES = st.builds(
    Generation,
    samples=st.integers(0, 100),
    shots=st.integers(0, 9),
    opening_words=st.integers(0, 3),
    controls=CONTROLS,
    quotas=st.dictionaries(st.sampled_from(CATEGORIES), st.floats(0, 5)),
)


def orders_for(wishes: Generation, seed: int, choices: int = 1, **more: object) -> list[Order]:
    wanted = quotas(wishes.samples, CATEGORIES, wishes)
    options: dict[str, object] = {"templates": {"write": 1.0}, "choices": choices, "seed": seed, "openings": True}
    return list(plan(wanted, CATEGORIES, SEEDS, wishes, **(options | more)))  # type: ignore[arg-type]


@unhurried
@given(WISHES, st.integers(0, 2**32), st.integers(1, 9))
def test_every_cell_gets_its_quota(wishes: Generation, seed: int, choices: int) -> None:
    wanted = quotas(wishes.samples, CATEGORIES, wishes)
    assert sum(wanted.values()) == wishes.samples
    found = Counter[str]()
    for order in orders_for(wishes, seed, choices):
        found[order.cell.name] += order.choices
        assert 1 <= order.choices <= choices
    assert found == Counter({name: count for name, count in wanted.items() if count})


@unhurried
@given(WISHES)
def test_quotas_are_even_within_a_category(wishes: Generation) -> None:
    wanted = quotas(wishes.samples, CATEGORIES, wishes)
    for category in CATEGORIES:
        counts = [count for name, count in wanted.items() if name.split(" · ")[0] == category]
        assert max(counts) - min(counts) <= 1


def test_weights_shift_the_shares() -> None:
    wishes = Generation(samples=100, quotas={"billing": 3})
    assert quotas(100, CATEGORIES, wishes) == {"offline": 20, "billing": 60, "move": 20}


@unhurried
@given(WISHES, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_plan_and_another_gives_another(wishes: Generation, seed: int) -> None:
    orders = orders_for(wishes, seed)
    assert orders_for(wishes, seed) == orders
    if orders:
        assert orders_for(wishes, seed + 1) != orders


@unhurried
@given(WISHES, st.integers(0, 2**32))
def test_examples_are_of_the_category_and_each_shown_once(wishes: Generation, seed: int) -> None:
    for order in orders_for(wishes, seed):
        assert {shot.category for shot in order.shots} <= {order.cell.category}
        assert len({shot.text for shot in order.shots}) == len(order.shots) == min(wishes.shots, 8)


@unhurried
@given(WISHES, st.integers(0, 2**32))
def test_every_second_call_begins_as_a_seed_of_its_category_does(wishes: Generation, seed: int) -> None:
    for _, group in groupby(orders_for(wishes, seed), lambda order: order.cell):
        for turn, order in enumerate(group):
            assert bool(order.opening) == (turn % 2 == 0 and wishes.opening_words > 0)
            assert order.opening == "" or order.opening.startswith(order.cell.category)


def test_a_group_of_calls_shares_its_examples_for_an_engine_to_reuse_what_it_read() -> None:
    orders = orders_for(Generation(samples=24 * GROUP), 0)
    sizes = [len(list(group)) for _, group in groupby(orders, lambda order: (order.cell, order.shots))]
    assert all(size % GROUP == 0 for size in sizes)


def test_a_category_without_seeds_is_shown_those_of_others() -> None:
    shots = Shots(seeds_of("offline", 3)).choose("billing", 2, random.Random(0))
    assert [shot.category for shot in shots] == ["offline", "offline"]


def test_without_seeds_there_are_no_examples() -> None:
    orders = list(plan({"any": 3}, ["any"], [], Generation(), templates={"write": 1.0}, choices=1, seed=0))
    assert [order.shots for order in orders] == [(), (), ()]


def test_examples_are_unlike_each_other() -> None:
    alike = [Example(text=f"the modem is dead again today number {n}", answer="x", category="c") for n in range(6)]
    unlike = [Example(text=text, answer="x", category="c") for text in ("lamp off", "no tone", "router hot")]
    for seed in range(20):
        shots = Shots([*alike, *unlike]).choose("c", 2, random.Random(seed))
        assert sum(shot in alike for shot in shots) <= 2
        ranked = Shots([*alike, *unlike])._rank("c", 0)
        assert set(ranked[1:4]) == {6, 7, 8}, "those that share no word come first"


def test_templates_are_drawn_by_weight() -> None:
    orders = orders_for(Generation(samples=600), 1, templates={"write": 3.0, "persona": 1.0})
    share = sum(order.template == "write" for order in orders) / 600
    assert 0.68 < share < 0.82


def test_the_passages_of_a_category_take_turns() -> None:
    passages = [Passage(id=f"d#{n}", document="d", heading="h", text=f"text {n}") for n in range(3)]
    orders = orders_for(Generation(samples=18), 0, passages={"billing": passages})
    counts = Counter(order.passage.id if order.passage else "" for order in orders)
    assert counts == {"d#0": 2, "d#1": 2, "d#2": 2, "": 12}


@pytest.mark.parametrize("text", ["  My  Wi-Fi is gone", "My Wi-Fi"])
def test_an_opening_is_the_first_words(text: str) -> None:
    assert opening(text, 2) == "My Wi-Fi"


def test_a_million_rows_are_planned_in_seconds_and_one_at_a_time() -> None:
    wishes = Generation(samples=1_000_000)
    started = time.perf_counter()
    orders = plan(
        quotas(1_000_000, CATEGORIES, wishes), CATEGORIES, SEEDS, wishes, templates={"w": 1.0}, choices=1, seed=0
    )
    assert sum(1 for _ in islice(orders, 100_000)) == 100_000
    assert time.perf_counter() - started < 5  # a tenth of them; ten seconds are the promise for all


# asking again for what the funnel dropped


def test_without_a_number_to_keep_there_is_one_wave() -> None:
    wishes = Generation(samples=9)
    assert next_wave({}, 0, 0, CATEGORIES, wishes) == {"offline": 3, "billing": 3, "move": 3}
    assert next_wave({"offline": 1}, 9, 1, CATEGORIES, wishes) == {}


def test_what_was_dropped_is_asked_for_again_by_the_share_that_survives() -> None:
    wishes = Generation(samples=100, keep=30)
    kept = {"offline": 10, "billing": 5}
    assert next_wave(kept, 30, 1, CATEGORIES, wishes) == {"billing": 10, "move": 20}  # half survive


@unhurried
@given(st.integers(0, 60), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**16))
def test_waves_end_and_never_ask_for_more_than_samples(samples: int, keep: int, share: float, seed: int) -> None:
    wishes, rng = Generation(samples=samples, keep=keep), random.Random(seed)
    kept, asked, waves = Counter[str](), 0, 0
    while wanted := next_wave(kept, asked, waves, CATEGORIES, wishes):
        asked, waves = asked + sum(wanted.values()), waves + 1
        kept.update(name for name, count in wanted.items() for _ in range(count) if rng.random() < share)
    assert waves <= WAVES
    assert asked <= samples
    if share == 1:
        assert sum(kept.values()) == min(samples, keep)


def test_a_sample_knows_its_cell() -> None:
    wishes = Generation(samples=4, controls=Controls(difficulty=(1, 3), style=("terse",)))
    names = {order.cell.name for order in orders_for(wishes, 0)}
    for order in orders_for(wishes, 0):
        assert cell_of({"category": order.cell.category, **dict(order.cell.controls), "finish": "stop"}) in names
