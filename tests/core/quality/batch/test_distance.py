"""How far two sets of embeddings lie apart: the value by hand, and a p-value that is what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.quality.batch.distance import DistanceCheck, energy_distance, principal_components


def by_hand(one: np.ndarray, other: np.ndarray) -> float:
    def mean(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        return float(
            np.mean([np.linalg.norm(x - y) for i, x in enumerate(a) for j, y in enumerate(b) if not (same and i == j)])
        )

    across = mean(one, other, False)
    return (2 * across - mean(one, one, True) - mean(other, other, True)) / (2 * across)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 10_000))
def test_the_distance_is_that_of_the_definition(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(n, 3)), rng.normal(1, 1, (m, 3))
    assert energy_distance(one, other, 99, 0).value == pytest.approx(by_hand(one, other))


def test_two_points_apart_are_wholly_apart() -> None:
    found = energy_distance(np.zeros((12, 2)), np.ones((15, 2)), 999, 0)
    assert found.value == pytest.approx(1) and found.p_value == 0.001


def test_sets_that_are_one_point_are_not_apart() -> None:
    found = energy_distance(np.ones((5, 2)), np.ones((5, 2)), 99, 0)
    assert (found.value, found.p_value) == (0, 1)


def test_p_values_are_uniform_where_both_are_drawn_alike() -> None:
    rng = np.random.default_rng(4)
    p_values = np.array(
        [energy_distance(rng.normal(size=(15, 3)), rng.normal(size=(22, 3)), 99, at).p_value for at in range(400)]
    )
    for alpha in (0.05, 0.2, 0.5, 0.8):  # three standard deviations
        assert (p_values <= alpha).mean() == pytest.approx(alpha, abs=3 * (alpha * (1 - alpha) / 400) ** 0.5 + 0.005)


def test_the_components_do_not_make_alarms_where_there_are_more_dimensions_than_rows() -> None:
    rng, check = np.random.default_rng(5), DistanceCheck(limit=1e-9, components=10, permutations=99)
    p_values = np.array(
        [
            check(rng.normal(size=(30, 100)), rng.normal(size=(24, 100)), 0.05, 20, at)[0].p_value or 0
            for at in range(200)
        ]
    )
    assert (p_values <= 0.05).mean() <= 0.1 and p_values.mean() == pytest.approx(0.5, abs=0.07)


def test_a_shift_warns_and_its_seed_gives_it_again() -> None:
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=(80, 30)), rng.normal(1, 1, (60, 30))
    found, components = DistanceCheck()(one, other, 0.01, 20, 0)
    assert found.outcome == "warn" and found.p_value == 0.001 and components is not None
    assert DistanceCheck()(one, other, 0.01, 20, 0)[0] == found


def test_too_few_rows_are_unknown() -> None:
    found, components = DistanceCheck()(np.ones((19, 4)), np.ones((50, 4)), 0.01, 20, 0)
    assert (found.outcome, found.value, components) == ("unknown", None, None)


def test_components_are_orthogonal_ordered_and_have_fixed_signs() -> None:
    rows = np.random.default_rng(7).normal(size=(50, 6)) * [5, 3, 2, 1, 0.5, 0.1]
    found = principal_components(rows, 4)
    assert found.axes @ found.axes.T == pytest.approx(np.eye(4), abs=1e-9)
    assert (np.diff(found.shares) <= 0).all() and found.shares.sum() <= 1
    assert found.project(rows).var(axis=0) == pytest.approx(found.shares * rows.var(axis=0).sum())
    assert principal_components(rows[::-1], 4).axes == pytest.approx(found.axes)
    assert len(principal_components(np.ones((5, 3)), 2).axes) == 0
