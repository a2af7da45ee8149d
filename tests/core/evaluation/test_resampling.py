"""Counts that are drawn instead of items give the same distribution, and all of it is fast enough."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as some
from wheelwork.core.evaluation import resampling
from wheelwork.core.evaluation.resampling import cluster_bootstrap_interval, cluster_bootstrap_means, sign_flip_p

ITEMS = 10_000
few = some.lists(some.sampled_from([-1.0, -0.5, 0.5, 1.0, 2.0]), min_size=1, max_size=10)


def exact(differences: list[float]) -> float:
    """The share of all sign patterns that reach the sum that was seen."""
    seen = sum(differences) - 1e-9
    signs = list(product((1, -1), repeat=len(differences)))
    return sum(sum(s * d for s, d in zip(one, differences, strict=True)) >= seen for one in signs) / len(signs)


@effort(max_examples=30)
@given(few, some.booleans())
def test_sign_flips_are_those_of_all_patterns(differences: list[float], counted: bool) -> None:
    draws = 20_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "FEW", 0 if counted else 1_000)  # always by counts, or always by tables
        p_value = sign_flip_p(differences, seed=1, resamples=draws)
    expected = exact(differences)
    assert p_value == pytest.approx(expected, abs=1e-4 + 5 * (expected * (1 - expected) / draws) ** 0.5)


@pytest.mark.parametrize("items", [1, 7, 8, 9, 250])
def test_flips_by_tables_have_the_mean_and_the_spread_of_signs(items: int) -> None:
    random = np.random.default_rng(1)
    sizes = random.random(items) + 0.1
    sums = np.concatenate(
        list(resampling._looked_up_flips(sizes, np.ones(items, dtype=np.int64), np.random.default_rng(2), 20_000))
    )
    spread = np.sqrt((sizes**2).sum())
    assert sums.mean() == pytest.approx(0, abs=4 * spread / np.sqrt(20_000))
    assert sums.std() == pytest.approx(spread, rel=0.03)


def test_means_by_counts_are_spread_as_means_by_items() -> None:
    random = np.random.default_rng(5)
    differences = random.choice([-1.0, 0.0, 0.0, 1.0], size=400)
    groups = [str(number // 4) for number in range(400)]
    with pytest.MonkeyPatch.context() as patch:
        quantiles = []
        for items_for_each in (1, 10_000):
            patch.setattr(resampling, "FEW", items_for_each)
            means = cluster_bootstrap_means(differences, groups, seed=3, resamples=20_000)
            quantiles.append(np.quantile(means, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]))
    assert quantiles[0] == pytest.approx(quantiles[1], abs=0.005)
    assert not (quantiles[0] == quantiles[1]).all(), "both ways were the same one"


def test_sources_of_many_sizes_weigh_by_their_items() -> None:
    random = np.random.default_rng(6)
    differences, groups = random.normal(0.2, 1, 600), [str(number) for number in random.integers(0, 90, 600)]
    names = sorted(set(groups))
    sums = np.array([sum(d for d, g in zip(differences, groups, strict=True) if g == name) for name in names])
    sizes = np.array([groups.count(name) for name in names])
    drawn = np.random.default_rng(8).integers(0, len(names), size=(20_000, len(names)))
    by_hand = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    means = cluster_bootstrap_means(differences, groups, seed=3, resamples=20_000)
    assert np.quantile(means, [0.05, 0.5, 0.95]) == pytest.approx(np.quantile(by_hand, [0.05, 0.5, 0.95]), abs=0.01)


ALONE = [str(number) for number in range(ITEMS)]
GRADES = np.random.default_rng(1).normal(size=ITEMS)
BINARY = np.random.default_rng(2).integers(-1, 2, ITEMS).astype(float)
SOURCES = [str(number) for number in np.random.default_rng(3).integers(0, 5_000, ITEMS)]


@pytest.mark.parametrize(
    ("differences", "groups"), [(GRADES, ALONE), (BINARY, ALONE), (BINARY, SOURCES), (GRADES, SOURCES)]
)
def test_ten_thousand_resamples_of_ten_thousand_items_take_under_two_seconds(
    differences: np.ndarray, groups: list[str]
) -> None:
    started = time.process_time()
    low, high = cluster_bootstrap_interval(differences, groups, seed=1)
    assert time.process_time() - started < 2
    assert low < differences.mean() < high


def test_the_flips_of_a_late_look_take_seconds() -> None:
    started = time.process_time()
    assert 0 < sign_flip_p(GRADES + 0.01, seed=1, resamples=50_000) < 1
    assert time.process_time() - started < 5
