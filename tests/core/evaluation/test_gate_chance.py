"""What the gate promises of chance: one verdict whatever the order, and a lucky candidate is rarely promoted."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as some
from wheelwork.core.evaluation.gate import GateSettings, decide
from wheelwork.core.evaluation.statistics import mcnemar_from_counts, spent_alpha
from wheelwork.tests.core.evaluation.gate_parts import GATE, counted, judge, target

answers = some.lists(some.tuples(some.sampled_from([0, 1, None]), some.sampled_from([0, 1, None])), min_size=1)


@effort(max_examples=60)
@given(answers, some.integers(1, 5), some.integers(1, 30))
def test_promotion_needs_its_p_value_and_never_works_both_ways(
    pairs: list[tuple[int | None, int | None]], look: int, times: int
) -> None:
    one, other = (tuple(side) for side in zip(*pairs * times, strict=True))
    there, back = judge(target(one, other), look=look), judge(target(other, one), look=look)
    assert not there.verdict == back.verdict == "promoted"
    figures = there.figures["holdout"]
    assert figures.n + figures.unscored == len(one)
    if there.verdict == "promoted":
        assert figures.p_value <= spent_alpha(GATE.alpha, look)
        assert figures.delta is not None and figures.delta > 0


@effort(max_examples=30)
@given(some.randoms(use_true_random=False), some.integers(0, 20), some.integers(0, 30))
def test_the_order_of_the_items_does_not_matter(random, losses: int, wins: int) -> None:
    suite = target(*counted(30, losses, wins, 20))
    order = list(range(len(suite.ids)))
    random.shuffle(order)
    shuffled = replace(
        suite,
        base=tuple(suite.base[i] for i in order),
        candidate=tuple(suite.candidate[i] for i in order),
    )
    one, other = judge(suite), judge(shuffled)
    assert one.verdict == other.verdict
    assert one.figures["holdout"].p_value == other.figures["holdout"].p_value


ROUNDS, ITEMS = 20, 200


def unchanged_loops(loops: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers (loops, items) of a reference and (loops, rounds, items) of candidates that are no better.

    All rounds of a loop meet the same holdout and the same answers of the reference.
    """
    random = np.random.default_rng(seed)
    ease = random.beta(2, 1, size=(loops, ITEMS)).astype(np.float32)
    reference = random.random((loops, ITEMS), dtype=np.float32) < ease
    candidates = random.random((loops, ROUNDS, ITEMS), dtype=np.float32) < ease[:, None]
    return reference, candidates


def test_chance_alone_is_promoted_at_most_alpha_of_the_time_over_the_life_of_a_loop() -> None:
    chunks = [unchanged_loops(500, seed) for seed in range(8)]
    wins = np.concatenate([(candidates & ~reference[:, None]).sum(axis=2) for reference, candidates in chunks])
    losses = np.concatenate([(~candidates & reference[:, None]).sum(axis=2) for reference, candidates in chunks])
    p_values = mcnemar_from_counts(wins, losses)
    alphas = np.array([spent_alpha(0.05, look) for look in range(1, ROUNDS + 1)])
    promoted = (p_values <= alphas).any(axis=1).mean()
    assert 0 < promoted <= 0.05
    assert (p_values <= 0.05).any(axis=1).mean() > 0.2  # what α at every look would do


def test_the_gate_promotes_just_where_the_simulation_says() -> None:
    (reference,), (candidates,) = unchanged_loops(1, seed=99)
    settings = GateSettings(alpha=0.4, resamples=100)  # loose, so that both verdicts occur
    verdicts = set()
    for look in (1, 2):
        for answers in candidates:
            suite = target(tuple(map(float, reference)), tuple(map(float, answers)))
            decision = decide([suite], settings, look, seed=1)
            p_value = mcnemar_from_counts((answers & ~reference).sum(), (reference & ~answers).sum())
            assert (decision.verdict == "promoted") == (p_value <= spent_alpha(0.4, look))
            verdicts.add(decision.verdict)
    assert "promoted" in verdicts and len(verdicts) > 1
