"""The classifier of a few labelled rows: what it says is calibrated on rows that it has not seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from wheelwork.core.errors import DataError
from wheelwork.core.people.nearest_mean import FEWEST, NearestMean, fit_nearest_mean

LABELS = ("a", "b", "c")


def cloud(rows: int, spread: float, seed: int = 0) -> tuple[NDArray[np.float32], list[str]]:
    """Unit vectors around three axes of twelve, `spread` apart."""
    random = np.random.default_rng(seed)
    labels = [LABELS[row % 3] for row in range(rows)]
    points = np.stack([np.eye(12)[LABELS.index(label)] for label in labels]) + random.normal(0, spread, (rows, 12))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels


def fitted(rows: int, spread: float, seed: int = 0) -> NearestMean:
    vectors, labels = cloud(rows, spread, seed)
    return fit_nearest_mean(vectors, labels, [True] * rows)


@given(st.integers(6, 40), st.floats(0.05, 2.0), st.integers(0, 99))
def test_probabilities_are_probabilities(rows: int, spread: float, seed: int) -> None:
    told = fitted(rows, spread, seed).probabilities(cloud(20, spread, seed + 1)[0])
    assert told.shape == (20, 3) and np.all(told >= 0) and np.allclose(told.sum(axis=1), 1)


@pytest.mark.parametrize("spread", [0.2, 0.4, 0.7])
def test_confidence_on_new_rows_is_the_share_that_is_right(spread: float) -> None:
    model = fitted(90, spread)
    vectors, labels = cloud(3000, spread, seed=1)
    told = model.probabilities(vectors)
    right = [model.labels[place] == label for place, label in zip(told.argmax(axis=1), labels, strict=True)]
    assert told.max(axis=1).mean() == pytest.approx(np.mean(right), abs=0.04)


def test_rows_that_tell_nothing_make_it_warm_and_clear_ones_cold() -> None:
    cold, warm = (fitted(60, spread).temperature or 0.0 for spread in (0.3, 3.0))
    assert cold < 0.25 < 0.8 < warm


def test_a_handful_of_rows_that_are_all_right_proves_no_certainty() -> None:
    vectors, labels = cloud(6, 0.01)
    told = fit_nearest_mean(vectors, labels, [True] * 6).probabilities(vectors)
    assert told.max() < 0.95


def test_only_rows_of_people_are_left_out() -> None:
    vectors, labels = cloud(12, 0.1)
    assert len(fit_nearest_mean(vectors, labels, [row < 6 for row in range(12)]).left_out) == 6


def test_a_label_with_a_single_row_cannot_be_left_out() -> None:
    vectors, labels = cloud(3, 0.1)
    model = fit_nearest_mean(vectors, labels, [True] * 3)
    assert model.temperature is None and model.precision(0.5) == (0, 0, 0, None)
    assert model.probabilities(vectors).argmax(axis=1).tolist() == [0, 1, 2]  # the order holds all the same


def test_precision_counts_what_was_left_out_and_says_when_it_cannot_tell() -> None:
    told = fitted(60, 0.3).precision(0.9)
    assert told.of == 60 and told.rows >= FEWEST and told.interval is not None
    low, high = told.interval
    assert 0 < low < told.right / told.rows <= high <= 1
    assert fitted(60, 0.3).precision(1.0).interval is None


def test_wilsons_interval_by_hand() -> None:
    model = NearestMean(("a", "b"), np.eye(2), 0.1, np.tile([1.0, 0.0], (20, 1)), np.array([0] * 18 + [1] * 2))
    rows, of, right, interval = model.precision(0.5)
    assert (rows, of, right) == (20, 20, 18)
    z, share = 1.959964, 0.9
    middle = (share + z**2 / 40) / (1 + z**2 / 20)
    half = z * (share * 0.1 / 20 + z**2 / 1600) ** 0.5 / (1 + z**2 / 20)
    assert interval == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_one_label_is_no_choice() -> None:
    with pytest.raises(DataError, match="two labels at least; there are 1"):
        fit_nearest_mean(np.eye(3, dtype=np.float32), ["a"] * 3, [True] * 3)
