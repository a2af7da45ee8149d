"""The tests are fair: no capital is expected to grow where there is no harm, whatever was seen before."""

import copy
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.serving.canary.betting import ANEW, Brake, Comparison, seen

UNIT = st.floats(0, 1)
SHARES = st.floats(0.001, 0.999)
PAST = st.lists(st.tuples(st.booleans(), UNIT), max_size=12)
NEAR = 1 + 1e-9


def after(test: Comparison, candidate: bool, share: float, bad: float, tolerance: float, margin: float) -> Comparison:
    test = copy.deepcopy(test)
    test.add(candidate, share, bad, tolerance, margin)
    return test


def seen_before(past: list[tuple[bool, float]], share: float, tolerance: float, margin: float) -> Comparison:
    test = Comparison()
    for candidate, bad in past:
        test.add(candidate, share, bad, tolerance, margin)
    return test


@given(PAST, SHARES, UNIT, UNIT, st.floats(0, 0.5), st.floats(0.01, 0.99))
def test_capital_against_no_harm_is_a_supermartingale(
    past: list[tuple[bool, float]], share: float, stable: float, candidate: float, tolerance: float, margin: float
) -> None:
    test = seen_before(past, share, tolerance, margin)
    candidate = min(candidate, stable + tolerance)  # no worse than is tolerated
    grown = [
        chance * exp(after(test, arm, share, bad, tolerance, margin).harm.log_value)
        for arm, chance, bad in ((True, share, candidate), (False, 1 - share, stable))
    ]
    assert sum(grown) <= exp(test.harm.log_value) * NEAR


@given(PAST, SHARES, UNIT, st.floats(0.01, 0.99))
def test_capital_against_harm_beyond_the_margin_is_a_supermartingale(
    past: list[tuple[bool, float]], share: float, stable: float, margin: float
) -> None:
    test = seen_before(past, share, 0.0, margin)
    stable *= 1 - margin
    grown = [
        chance * exp(after(test, arm, share, bad, 0.0, margin).safe.log_value)
        for arm, chance, bad in ((True, share, stable + margin), (False, 1 - share, stable))
    ]
    assert sum(grown) <= exp(test.safe.log_value) * NEAR


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=140), SHARES, st.booleans(), st.floats(0.01, 0.9))
def test_the_brake_does_not_move_where_both_versions_fail_alike(
    past: list[tuple[bool, bool]], share: float, failed: bool, rise: float
) -> None:
    brake = Brake()
    for candidate, bad in past:
        brake.add(candidate, share, bad, rise)
    count = len(past)
    chance = (brake.requests[1] + 20 * share) / (count + 20)  # the share as it was seen
    grown, kept = 0.0, sum(brake.harm.capitals) + len(brake.harm.capitals) * _kept_back(count)
    for candidate, weight in ((True, chance), (False, 1 - chance)):
        one = copy.deepcopy(brake)
        one.add(candidate, share, failed, rise)
        grown += weight * (sum(one.harm.capitals) + len(one.harm.capitals) * _kept_back(count + 1))
    assert grown <= kept * NEAR


def _kept_back(outcomes: int) -> float:
    """Of the money, what has not been staked after so many outcomes: 1 − Σ 1/(j (j + 1))."""
    begun = -(-outcomes // ANEW)
    return 1 / (begun + 1)


@given(SHARES, UNIT, UNIT, UNIT)
def test_one_outcome_is_an_unbiased_sight_of_the_difference(share: float, stable: float, bad: float, m: float) -> None:
    ones, least, most = seen(True, share, bad, m)
    other = seen(False, share, stable, m)[0]
    assert share * ones + (1 - share) * other == pytest.approx(bad - stable, abs=1e-9)
    assert all(least - 1e-9 <= one <= most + 1e-9 for one in (ones, other))
    assert least <= -1 + 1e-12 and most >= 1 - 1e-12  # so that a stake never loses more than there is


def test_no_harm_is_hardly_ever_called_harm_though_one_looks_after_every_outcome() -> None:
    random, fooled, runs = np.random.default_rng(3), 0, 300
    for _ in range(runs):
        test = Comparison()
        for candidate, bad in zip(random.random(400) < 0.2, random.random(400) < 0.1, strict=True):
            test.add(bool(candidate), 0.2, float(bad), 0.0, 0.05)
        fooled += test.harm.peak >= log(20)
    assert fooled / runs <= 0.05


def test_harm_is_seen_and_the_odds_say_how_surely() -> None:
    random, test = np.random.default_rng(4), Comparison()
    for candidate in random.random(3000) < 0.2:
        test.add(bool(candidate), 0.2, float(random.random() < (0.2 if candidate else 0.1)), 0.0, 0.05)
    assert test.harm.odds > 1000 and test.safe.odds < 20
    assert (test.mean(True) or 0) > 0.15 > (test.mean(False) or 1)
    assert Comparison().mean(True) is None and Comparison().harm.odds == 1


def test_an_outage_that_strikes_both_arms_does_not_brake() -> None:
    brake, random = Brake(), np.random.default_rng(5)
    for number, candidate in enumerate(random.random(2000) < 0.25):
        brake.add(bool(candidate), 0.25, number >= 1000, 0.2)
    assert brake.harm.peak < log(50)


def test_a_candidate_that_begins_to_fail_late_brakes_within_some_requests_of_its_own() -> None:
    brake, random, failures = Brake(), np.random.default_rng(6), 0
    for number, candidate in enumerate(random.random(20_000) < 0.05):
        failing = bool(candidate) and number >= 10_000
        failures += failing
        brake.add(bool(candidate), 0.05, failing, 0.2)
        if brake.harm.peak >= log(200):
            break
    assert 2 <= failures <= 30
