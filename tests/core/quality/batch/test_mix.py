"""The mix of labels beside its target, its balance, and the diversity of texts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.quality.batch.diversity import DiversityChecks, mean_cosine
from wheelwork.core.quality.batch.findings import Finding
from wheelwork.core.quality.batch.mix import MixChecks, Target, divergence, evenness, mix_test, shares_of

EVEN = Target(shares_of(dict.fromkeys("abcde", 1)))
weights = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 1000), min_size=1)


def told(findings: list[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in findings}


def mix(counts: dict[str, int], target: Target = EVEN) -> dict[str, Finding]:
    return told(MixChecks()(counts, target, "labels", 0.01, 20, 0))


@given(weights, weights)
def test_divergence_is_never_below_0_and_0_only_for_the_same_mix(one: dict[str, int], other: dict[str, int]) -> None:
    p, q = shares_of(one), shares_of(other)
    assert divergence(p, q) >= 0
    assert divergence(p, p) == 0
    if p.keys() <= q.keys():
        apart = sum(abs(p.get(name, 0) - q[name]) for name in q)
        assert divergence(p, q) >= apart**2 / 2 - 1e-12, "Pinsker's inequality"
    else:
        assert divergence(p, q) == math.inf


def test_divergence_by_hand() -> None:
    assert divergence({"a": 0.75, "b": 0.25}, {"a": 0.5, "b": 0.5}) == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    )


@given(weights)
def test_evenness_is_a_share_and_1_for_an_even_mix(counts: dict[str, int]) -> None:
    assert 0 <= evenness(counts) <= 1 + 1e-12
    assert evenness(dict.fromkeys(counts, 7)) == pytest.approx(1)


@pytest.mark.parametrize("counted", [False, True], ids=["fixed target", "counted target"])
def test_the_p_value_of_a_mix_is_what_it_says_where_nothing_changed(counted: bool) -> None:
    rng, shares, p_values, chances, values = np.random.default_rng(8), np.array([0.5, 0.2, 0.2, 0.1]), [], [], []
    for seed in range(150):
        theirs = dict(zip("abcd", map(int, rng.multinomial(50, shares)), strict=True))
        ours = dict(zip("abcd", map(int, rng.multinomial(70, shares)), strict=True))
        known = dict(zip("abcd", shares, strict=True))
        found = mix_test(ours, Target(shares_of(theirs), theirs) if counted else Target(known), seed)
        p_values.append(found.p_value)
        chances.append(found.chance)
        values.append(found.value)
    # counts are whole, so the test is a little shy; it must not be bold
    assert (np.array(p_values) <= 0.05).mean() <= 0.1
    assert 0.4 <= np.mean(p_values) <= 0.62
    assert np.mean(values) == pytest.approx(np.mean(chances), rel=0.2)


def test_a_mix_that_is_off_warns_and_says_where() -> None:
    found = mix({"a": 60, "b": 10, "c": 10, "d": 10, "e": 10})
    assert found["kl"].outcome == "warn" and found["kl"].said == "furthest: a, 60% for 20%"
    assert found["kl"].value == pytest.approx(divergence({"a": 0.6, **dict.fromkeys("bcde", 0.1)}, EVEN.shares))
    assert found["evenness"].outcome == "warn" and found["ratio"].outcome == "fine"


def test_a_mix_off_by_chance_or_by_little_is_fine() -> None:
    assert mix(dict.fromkeys("abcde", 8) | {"a": 12})["kl"].outcome == "fine"
    many = mix(dict.fromkeys("abcde", 8000) | {"a": 9500})["kl"]
    assert many.outcome == "fine" and (many.p_value or 1) < 0.001


def test_the_target_decides_what_is_off() -> None:
    counts = {"a": 60, "b": 10, "c": 10, "d": 10, "e": 10}
    assert mix(counts, Target(shares_of({**counts, "a": 55})))["kl"].outcome == "fine"


def test_a_label_without_a_share_is_no_number_and_no_silence() -> None:
    found = mix({"z": 30, "a": 30, "b": 30})["kl"]
    assert (found.outcome, found.value) == ("warn", None) and "`z` has no share" in found.said


def test_a_label_that_a_reference_does_not_hold_is_finite() -> None:
    theirs = {"a": 30, "b": 30}
    found = mix({"z": 30, "a": 30, "b": 30}, Target(shares_of(theirs), theirs))["kl"]
    assert found.outcome == "warn" and found.value is not None and math.isfinite(found.value)


def test_a_target_that_was_counted_among_few_rows_tells_nothing_of_a_divergence() -> None:
    theirs = {"a": 4}
    found = mix({"a": 30, "b": 30}, Target(shares_of(theirs), theirs))
    assert (found["kl"].outcome, found["kl"].value) == ("unknown", None)
    assert found["kl"].said == "the target is counted among 4 rows; 20 are needed"
    assert found["evenness"].outcome == found["ratio"].outcome == "fine"


def test_labels_that_are_missing_count() -> None:
    found = mix(dict.fromkeys("abc", 40))
    assert found["coverage"].outcome == "warn" and found["coverage"].said == "of 5; none of d, e"
    assert found["ratio"].value == 0
    two = Target(shares_of({"a": 1, "b": 1}))
    assert mix({"a": 40, "b": 40}, two)["coverage"].outcome == "fine", "there are only two"


@pytest.mark.parametrize(
    ("counts", "target", "why"),
    [
        ({}, Target({}), "no labels"),
        ({"a": 90}, Target({"a": 1.0}), "only one"),
        (dict.fromkeys("abcde", 4), EVEN, "25"),
    ],
)
def test_what_a_mix_cannot_tell_is_unknown(counts: dict[str, int], target: Target, why: str) -> None:
    found = mix(counts, target)
    assert found["kl"].outcome == found["evenness"].outcome == "unknown"
    assert why in found["kl"].said and found["kl"].value is None


@given(st.integers(2, 9), st.integers(0, 10_000))
def test_the_mean_cosine_is_that_over_all_pairs(n: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [float(rows[i] @ rows[j]) for i in range(n) for j in range(n) if i != j]
    assert mean_cosine(rows) == pytest.approx(np.mean(pairs))


def test_a_label_that_says_one_thing_warns_by_name() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(60, 20))
    rows[:20] = [3, *[0] * 19] + 0.1 * rng.normal(size=(20, 20))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = told(DiversityChecks()(rows, ["bill"] * 20 + ["line"] * 36 + ["wifi"] * 4, "labels", 20))
    assert found["cosine_within"].outcome == "warn" and found["cosine"].outcome == "fine"
    assert "most alike: bill" in found["cosine_within"].said and "1 have too few rows" in found["cosine_within"].said


def test_diversity_of_few_rows_or_of_no_labels_is_unknown() -> None:
    rows = np.eye(30)
    few = told(DiversityChecks()(rows[:10], ["a"] * 10, "labels", 20))
    assert {one.outcome for one in few.values()} == {"unknown"}
    assert told(DiversityChecks()(rows, [""] * 30, "labels", 20))["cosine_within"].outcome == "unknown"
    spread = told(DiversityChecks()(rows, [f"label {n % 10}" for n in range(30)], "labels", 20))
    assert spread["cosine_within"].outcome == "unknown" and "none has 5 rows" in spread["cosine_within"].said
