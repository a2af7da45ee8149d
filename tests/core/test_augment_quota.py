"""Shares as whole numbers: they sum exactly, stay within one of their share, and scarcity gets more."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.generation.quota import spread, top_up

unhurried = settings(deadline=None, max_examples=100)
NAMES = st.text("abcdefgh", min_size=1, max_size=3)
WEIGHTS = st.dictionaries(NAMES, st.floats(0, 1e6) | st.integers(0, 1000), min_size=1, max_size=8)
QUOTAS = st.dictionaries(NAMES, st.tuples(st.integers(0, 60), st.integers(0, 50)), max_size=8)


@unhurried
@given(st.integers(0, 10_000), WEIGHTS)
def test_parts_sum_to_the_total_and_each_is_within_one_of_its_share(total: int, weights: dict[str, float]) -> None:
    parts = spread(total, weights)
    assert list(parts) == list(weights)
    assert sum(parts.values()) == total
    whole = sum(map(Fraction, weights.values()))
    for name, part in parts.items():
        share = total * Fraction(weights[name]) / whole if whole else Fraction(total, len(weights))
        assert abs(part - share) < 1


@unhurried
@given(st.integers(0, 1000), WEIGHTS)
def test_a_greater_weight_never_gets_less(total: int, weights: dict[str, float]) -> None:
    parts = spread(total, weights)
    by_weight = [parts[name] for name in sorted(parts, key=lambda name: (weights[name], parts[name]))]
    assert by_weight == sorted(by_weight)


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (7, {"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 2, "c": 2}),
        (10, {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 5, "b": 3, "c": 2}),
        (1, {"a": 1, "b": 2}, {"a": 0, "b": 1}),
        (3, {"a": 0, "b": 1}, {"a": 0, "b": 3}),
        (3, {"b": 0, "a": 0}, {"b": 2, "a": 1}),
        (0, {"a": 1}, {"a": 0}),
        (5, {}, {}),
    ],
)
def test_the_largest_remainder_gets_what_is_left_and_ties_go_by_order(
    total: int, weights: dict[str, float], parts: dict[str, int]
) -> None:
    assert spread(total, weights) == parts


@unhurried
@given(QUOTAS, st.integers(-5, 300))
def test_a_top_up_uses_the_whole_budget_and_overfills_nothing(quotas: dict[str, tuple[int, int]], budget: int) -> None:
    counts = {name: count for name, (count, _) in quotas.items()}
    wanted = {name: quota for name, (_, quota) in quotas.items()}
    more = top_up(counts, wanted, budget)
    missing = {name: max(0, wanted[name] - counts[name]) for name in wanted}
    assert list(more) == list(wanted)
    assert all(0 <= more[name] <= missing[name] for name in wanted)
    assert sum(more.values()) == min(max(0, budget), sum(missing.values()))


@unhurried
@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 100))
def test_of_equal_quotas_the_scarcer_gets_at_least_as_many(quota: int, one: int, other: int, budget: int) -> None:
    more = top_up({"one": one, "other": other}, {"one": quota, "other": quota}, budget)
    if one < other:
        assert more["one"] >= more["other"]


@pytest.mark.parametrize(
    ("counts", "wanted", "budget", "more"),
    [
        ({"a": 5, "b": 9, "c": 12}, {"a": 10, "b": 10, "c": 10}, 100, {"a": 5, "b": 1, "c": 0}),
        ({"a": 0, "b": 5}, {"a": 10, "b": 10}, 6, {"a": 4, "b": 2}),  # scarcity 1 and 1/2
        ({"a": 90}, {"a": 100, "b": 10}, 11, {"a": 1, "b": 10}),  # scarcity 1/10 and 1: an unknown key has none yet
        ({"a": 0, "b": 0}, {"a": 2, "b": 100}, 10, {"a": 2, "b": 8}),  # what does not fit into a goes to b
        ({"z": 3}, {}, 5, {}),
    ],
)
def test_scarcity_weighs(counts: dict[str, int], wanted: dict[str, int], budget: int, more: dict[str, int]) -> None:
    assert top_up(counts, wanted, budget) == more
