"""Corrections: weights whose mean is 1, draws that come nearer to the target, and samples that are else untouched."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.quality.batch.correct import correct
from wheelwork.core.quality.batch.mix import Target, divergence, shares_of
from wheelwork.core.quality.batch.sampling import TaskSampling, allocation
from wheelwork.core.quality.batch.settings import Batch
from wheelwork.core.quality.batch.weights import ClassWeights, ImportanceWeights, effective_rows, fitted
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.fakes import FakeEncoder

EMBED = FakeEncoder()
EVEN = Target(shares_of({"bill": 1, "line": 1}))
counts = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 6), min_size=1)


def rows(bill: int, line: int, **rest: float) -> list[Sample]:
    """Labelled messages, no two alike; of later ones the score is higher."""
    return [
        Sample.make(
            [Message(role="user", content=f"{label} number {n}"), Message(role="assistant", content=label)],
            task="classify",
            label=label,
            origin="teacher",
            scores={"label_margin": n / 100},
            **rest,
        )
        for label, count in (("bill", bill), ("line", line))
        for n in range(count)
    ]


# weights


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60), st.floats(1.1, 50))
def test_weights_have_mean_1_stay_within_their_bounds_and_keep_their_order(given: list[float], largest: float) -> None:
    found = fitted(given, largest)
    assert found.mean() == pytest.approx(1, abs=1e-12)
    assert found.min() >= 1 / largest - 1e-9 and found.max() <= largest + 1e-9
    assert (np.diff(found[np.argsort(given)]) >= -1e-9).all()


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=80), st.sampled_from(["inverse", "effective"]))
def test_class_weights_have_mean_1_and_favour_the_rare(categories: list[str], method: str) -> None:
    found = ClassWeights.model_validate({"method": method})(categories)
    assert found.mean() == pytest.approx(1)
    by_class = {name: (categories.count(name), weight) for name, weight in zip(categories, found, strict=True)}
    in_order = [weight for _, weight in sorted(by_class.values())]
    assert in_order == sorted(in_order, reverse=True)


def test_inverse_weights_give_each_class_the_same_say() -> None:
    found = ClassWeights()(["a"] * 30 + ["b"] * 10)
    assert found[:30].sum() == pytest.approx(found[30:].sum())
    assert set(ClassWeights()(["a", "b", "a", "b"])) == {1.0}


def test_effective_numbers_lie_between_no_weights_and_inverse_ones() -> None:
    categories = ["a"] * 90 + ["b"] * 10
    ratio = [
        float(found[-1] / found[0])
        for beta in (1e-9, 0.99, 1 - 1e-9)
        for found in [ClassWeights(method="effective", beta=beta, largest=50)(categories)]
    ]
    assert ratio == pytest.approx([1, (1 - 0.99**90) / (1 - 0.99**10), 9], rel=1e-4)


def test_rows_as_they_come_in_the_reference_count_more() -> None:
    rng = np.random.default_rng(0)
    places = {"near": np.array([2.0, 0, 0]), "far": np.array([-2.0, 0, 0])}
    kept = np.concatenate([places["far"] + rng.normal(size=(80, 3)), places["near"] + rng.normal(size=(20, 3))])
    reference = np.concatenate([places["far"] + rng.normal(size=(30, 3)), places["near"] + rng.normal(size=(30, 3))])
    found = ImportanceWeights()(kept, reference, 0)
    assert found.mean() == pytest.approx(1)
    # half of the reference is near and a fifth of the kept: 2.5 for 0.625
    assert found[80:].mean() == pytest.approx(2.5, rel=0.25) and found[:80].mean() == pytest.approx(0.625, rel=0.25)
    assert 40 < effective_rows(found) < 100
    assert (ImportanceWeights()(kept, reference, 0) == found).all()


def test_rows_that_are_drawn_alike_weigh_about_the_same() -> None:
    rng = np.random.default_rng(1)
    found = ImportanceWeights(regularisation=0.01)(rng.normal(size=(150, 20)), rng.normal(size=(100, 20)), 0)
    assert effective_rows(found) > 140


def test_effective_rows_of_equal_weights_are_all_of_them() -> None:
    assert effective_rows(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_rows([1, 0, 0]) == 1 and effective_rows([]) == 0


def test_too_few_rows_to_weigh_are_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"`batch.importance_weights` needs 10 .* there are 4 and 50; leave it out"):
        ImportanceWeights()(np.ones((4, 2)), np.ones((50, 2)), 0)


# draws


@settings(max_examples=200)
@given(counts, counts, st.integers(1, 30))
def test_a_draw_is_never_further_from_the_target_than_all(
    available: dict[str, int], wanted: dict[str, int], most: int
) -> None:
    target = shares_of(wanted)
    taken = allocation(available, target, most)
    assert all(0 <= taken[name] <= available[name] for name in available)
    assert sum(taken.values()) <= most or taken == available
    assert divergence(shares_of(taken), target) <= divergence(shares_of(available), target) + 1e-9


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=2), st.integers(1, 8))
def test_no_draw_of_as_many_comes_nearer(available: dict[str, int], most: int) -> None:
    target = shares_of({"a": 5, "b": 3, "c": 2})
    taken = allocation(available, target, most)
    total = sum(taken.values())
    others = [
        dict(zip(available, counts, strict=True))
        for counts in product(*(range(count + 1) for count in available.values()))
        if sum(counts) == total
    ]
    best = min(divergence(shares_of(one), target) for one in others)
    assert divergence(shares_of(taken), target) == pytest.approx(best, abs=1e-9)


def test_as_many_are_drawn_as_are_asked_for() -> None:
    assert allocation({"a": 100, "b": 20}, {"a": 0.5, "b": 0.5}, 60) == {"a": 40, "b": 20}
    assert allocation({"a": 100, "b": 20}, {"a": 0.5, "b": 0.5}, 30) == {"a": 15, "b": 15}
    assert allocation({"a": 10, "b": 10}, {"a": 0.5, "b": 0.5}, 11) == {"a": 5, "b": 5}, "11 would be further"


def test_high_scores_are_likelier_and_the_seed_decides() -> None:
    samples = rows(60, 0)
    scores = [
        sample.scores["label_margin"]
        for seed in range(40)
        for sample, taken in zip(samples, TaskSampling(size=20)(samples, {"bill": 1.0}, seed), strict=True)
        if taken
    ]
    assert len(scores) == 800 and np.mean(scores) > 0.31  # 0.295 on average without favour
    once, again = (TaskSampling(size=20)(samples, {"bill": 1.0}, 7) for _ in range(2))
    assert once == again != TaskSampling(size=20)(samples, {"bill": 1.0}, 8)


# all together


def test_without_a_correction_samples_stay_what_they_are() -> None:
    samples = rows(9, 3, weight=0.5)
    assert correct(samples, [], Batch(), EMBED, EVEN, 0) == (samples, [], (), ())


def test_a_draw_drops_the_rest_with_a_reason_and_tells_what_it_gained() -> None:
    samples = rows(90, 30)
    found = correct(samples, [], Batch(sample=TaskSampling(size=60)), EMBED, EVEN, 0)
    assert [sum(sample.label == label for sample in found.kept) for label in ("bill", "line")] == [30, 30]
    assert {sample.reject_reason for sample in found.dropped} == {"not_sampled"}
    assert len(found.kept) + len(found.dropped) == 120
    assert [one for one in samples if one in found.kept] == found.kept, "in their order"
    (done,) = found.done
    assert done.said == "60 of 120 samples drawn; KL to the target from 0.131 to 0.000"
    assert done.figures["kl_before"] > done.figures["kl_after"] == 0


def test_a_draw_that_is_too_small_to_help_draws_nothing_and_says_so() -> None:
    found = correct(rows(5, 5), [], Batch(sample=TaskSampling(size=1)), EMBED, EVEN, 0)
    assert len(found.kept) == 10 and "1 are too few to come as near to the target" in found.done[0].said


def test_weights_multiply_what_a_sample_weighed_before() -> None:
    samples = rows(30, 10, weight=0.5)
    found = correct(samples, [], Batch(class_weights=ClassWeights()), EMBED, EVEN, 0)
    weights = {sample.label: sample.weight for sample in found.kept}
    assert weights == pytest.approx({"bill": 0.5 * 2 / 3, "line": 1.0})
    assert [sample.model_copy(update={"weight": 0.5}) for sample in found.kept] == samples
    assert found.done[0].figures["kl_after"] == pytest.approx(0, abs=1e-12)
    (finding,) = found.findings
    assert finding.value == pytest.approx(effective_rows([2 / 3] * 30 + [2.0] * 10) / 40) and finding.outcome == "fine"


def test_both_weights_together_keep_mean_1_and_their_bounds() -> None:
    batch = Batch(class_weights=ClassWeights(largest=3), importance_weights=ImportanceWeights(largest=2))
    reference = [sample.prompt for sample in rows(5, 25)]
    found = correct(rows(60, 15), reference, batch, EMBED, EVEN, 0)
    weights = np.array([sample.weight for sample in found.kept])
    assert weights.mean() == pytest.approx(1) and 1 / 3 <= weights.min() < weights.max() <= 3
    assert [one.kind for one in found.done] == ["class_weights", "importance_weights"]


def test_weights_that_leave_few_rows_warn() -> None:
    batch = Batch(class_weights=ClassWeights(largest=50), effective_share=0.9)
    (finding,) = correct(rows(95, 5), [], batch, EMBED, EVEN, 0).findings
    assert finding.outcome == "warn"


def test_nothing_kept_is_nothing_to_correct() -> None:
    batch = Batch(class_weights=ClassWeights(), importance_weights=ImportanceWeights(), sample=TaskSampling(size=3))
    found = correct([], ["a text"], batch, EMBED, EVEN, 0)
    assert found.kept == found.dropped == [] and found.findings == ()
