"""Groups: over-representation by an exact test, corrected; and a cover in which each failing item is once."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.attribution.groups import Axis, find_groups, holm, over_represented

FOUND = st.lists(
    st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from([None, "p", "q"])),
    max_size=60,
)


def axes_of(rows: list[tuple[bool, str, str, str | None]]) -> dict[Axis, list[str | None]]:
    return {
        "confusion": [f"{label} → {other}" if failed and other else None for failed, label, _, other in rows],
        "label": [label for _, label, _, _ in rows],
        "slice": [part for _, _, part, _ in rows],
    }


@given(FOUND, st.integers(1, 4), st.integers(1, 6))
def test_each_failing_item_is_in_one_group_or_in_the_rest(
    rows: list[tuple[bool, str, str, str | None]], least: int, most: int
) -> None:
    failing = {at for at, row in enumerate(rows) if row[0]}
    covered = find_groups(axes_of(rows), failing, alpha=0.05, least=least, most=most)
    parts = [group.failing for group in covered.groups]
    assert len(parts) <= most and all(len(part) >= least for part in parts)
    assert not any(one & other for one, other in combinations(parts, 2))
    assert frozenset().union(*parts, covered.other) == failing
    for group in covered.groups:
        assert group.failing <= group.members
        assert group.p_value is None or group.p_value <= 0.05


@given(FOUND, st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(rows: list[tuple[bool, str, str, str | None]], random: object) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [rows[at] for at in order]

    def found(given: list[tuple[bool, str, str, str | None]]) -> list[tuple[str, str, int]]:
        failing = [at for at, row in enumerate(given) if row[0]]
        covered = find_groups(axes_of(given), failing, alpha=0.05, least=2, most=9)
        return [(group.axis, group.name, len(group.failing)) for group in covered.groups]

    assert found(rows) == found(shuffled)


def test_a_part_that_fails_no_more_than_the_rest_is_no_group() -> None:
    values = ["a", "b"] * 20
    covered = find_groups({"label": values}, range(10), alpha=0.05, least=3, most=5)
    assert covered.groups == () and len(covered.other) == 10 and covered.tried == 2


def test_a_part_that_fails_more_is_one_with_its_p_value() -> None:
    values = ["a"] * 10 + ["b"] * 90
    covered = find_groups({"label": values}, [0, 1, 2, 3, 4, 5, 50, 70], alpha=0.05, least=3, most=5)
    (group,) = covered.groups
    assert (group.axis, group.name, len(group.failing)) == ("label", "a", 6)
    # 2 parts were tried: twice P(X ≥ 6) of 8 failures among 10 of 100
    exact = pytest.importorskip("scipy.stats").fisher_exact([[6, 4], [2, 88]], alternative="greater").pvalue
    assert group.p_value == pytest.approx(2 * exact)
    assert covered.other == {50, 70}


@pytest.mark.parametrize(("axis", "ways"), [("cluster", 6), ("slice", 15 / 3)])
def test_a_cluster_is_compared_with_what_was_embedded_and_other_parts_with_the_suite(axis: Axis, ways: float) -> None:
    one, other = over_represented([(axis, ["1", "1", "5", "5", None, None])], frozenset({2, 3, 4}), 2)
    assert (one.name, other.name) == ("1", "5")
    # of four items two failures, both here: one of 6 ways; of six three: 3 of 15; and two parts were tried
    assert other.p_value == pytest.approx(2 / ways)


def test_the_more_specific_of_two_groups_is_taken() -> None:
    confusion: list[str | None] = ["a → b"] * 4 + [None] * 96
    label: list[str | None] = ["a"] * 10 + ["b"] * 90
    covered = find_groups({"confusion": confusion, "label": label}, range(7), alpha=0.05, least=3, most=5)
    assert [(one.axis, len(one.failing)) for one in covered.groups] == [("confusion", 4), ("label", 3)]


def test_holm_is_bonferroni_for_the_smallest_and_never_falls() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_as_its_step_down_does(p_values: list[float]) -> None:
    alpha, rejected = 0.05, 0
    for rank, p_value in enumerate(sorted(p_values)):
        if p_value * (len(p_values) - rank) > alpha:
            break
        rejected += 1
    assert sum(one <= alpha for one in holm(p_values)) == rejected


def test_failures_at_random_make_a_group_in_at_most_one_suite_of_twenty() -> None:
    draw = random.Random(7)
    suites, found = 300, 0
    for _ in range(suites):
        axes: dict[Axis, list[str | None]] = {
            "label": [draw.choice("abcdefgh") for _ in range(120)],
            "slice": [draw.choice("xyz") for _ in range(120)],
            "length": [draw.choice(["short", "long"]) for _ in range(120)],
        }
        failing = [at for at in range(120) if draw.random() < 0.2]
        found += bool(find_groups(axes, failing, alpha=0.05, least=3, most=9).groups)
    # the exact test is discrete, so that it errs less often than it may
    assert found / suites <= 0.05
