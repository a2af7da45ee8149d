"""Rounds that are simulated: models of the same skill, models that are better or worse by so much, and whole loops."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from wheelwork.core.evaluation.gate import GateSettings, decide
from wheelwork.core.evaluation.scores import SuiteScores
from wheelwork.core.evaluation.statistics import mcnemar_from_counts

from .gate_rules import Rounds, Rule

BASELINE, CORRELATION = 0.75, 0.5
EASE = (BASELINE * (1 / CORRELATION - 1), (1 - BASELINE) * (1 / CORRELATION - 1))
"""Beta(a, b) of how likely an item is answered right: with a + b = 1/ρ − 1, two models' answers correlate by ρ."""
AT_A_TIME = 250  # loops whose answers are in memory together


class Life(NamedTuple):
    """Loops without any true gain: of each, after which round it had its first promotion, 0 for never; and how many."""

    first: NDArray[np.int64]
    promotions: NDArray[np.int64]

    def fooled_by(self, rounds: int) -> float:
        """The share of loops with a promotion in their first `rounds` rounds."""
        return float(((self.first > 0) & (self.first <= rounds)).mean())


def drawn(rounds: int, n: int, gain: float, random: np.random.Generator) -> Rounds:
    """Rounds on fresh holdouts: the reference is right in BASELINE of items, the candidate in so much more.

    The answers of the two correlate by CORRELATION (φ): P(both right) = p q + φ √(p (1 − p) q (1 − q)).
    """
    p, q = BASELINE, BASELINE + gain
    both = p * q + CORRELATION * np.sqrt(p * (1 - p) * q * (1 - q))
    shares = [both, p - both, q - both, 1 - p - q + both]
    right, lost, won, _ = random.multinomial(n, shares, size=rounds).T
    return Rounds(n, right, lost, won, right + lost)


def twins(n: int) -> Rounds:
    """One round of a candidate that answers every item just as what is in use does."""
    right = np.array([round(BASELINE * n)])
    nothing = np.zeros(1, dtype=np.int64)
    return Rounds(n, right, nothing, nothing, right)


def lives(rule: Rule, loops: int, rounds: int, n: int, seed: int) -> Life:
    """Whole loops against one holdout each, in which no candidate is any better than the base.

    Items have their own ease, which every model of the loop shares; a model answers each with that chance. What is in
    use stays, with its answers, until the rule promotes another; the first of them is the base.
    """
    parts = [_some_lives(rule, count, rounds, n, seed + at) for at, count in enumerate(_portions(loops))]
    return Life(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _portions(loops: int) -> Iterator[int]:
    for start in range(0, loops, AT_A_TIME):
        yield min(AT_A_TIME, loops - start)


def _some_lives(rule: Rule, loops: int, rounds: int, n: int, seed: int) -> Life:
    random = np.random.default_rng(seed)
    ease = random.beta(*EASE, size=(loops, n)).astype(np.float32)
    in_use = random.random((loops, n), dtype=np.float32) < ease
    base = in_use.sum(axis=1)
    first, promotions = np.zeros(loops, dtype=np.int64), np.zeros(loops, dtype=np.int64)
    for look in range(1, rounds + 1):
        candidate = random.random((loops, n), dtype=np.float32) < ease
        both = (in_use & candidate).sum(axis=1)
        seen = Rounds(n, both, in_use.sum(axis=1) - both, candidate.sum(axis=1) - both, base)
        promoted = rule.promotes(seen, look)
        first = np.where(promoted & (first == 0), look, first)
        promotions += promoted
        in_use = np.where(promoted[:, None], candidate, in_use)
    return Life(first, promotions)


class Special(NamedTuple):
    """Shares of rounds without a gain that were promoted by `decide`, and by a test that knows of no sources."""

    ours: float
    naive: float


def of_sources(rounds: int, sources: int, each: int, random: np.random.Generator) -> Special:
    """0/1 items that stem from few sources: whether a source suits a model is one toss for all its items."""
    settings, promoted, naive = GateSettings(resamples=2000), 0, 0
    groups = tuple(str(number // each) for number in range(sources * each))
    for seed in range(rounds):
        sides = [np.repeat(random.random(sources) < BASELINE, each) for _ in range(2)]
        # one item in ten goes its own way
        sides = [np.where(random.random(side.size) < 0.1, random.random(side.size) < BASELINE, side) for side in sides]
        promoted += _promoted(*sides, groups, settings, seed)
        losses, wins = (sides[0] & ~sides[1]).sum(), (sides[1] & ~sides[0]).sum()
        naive += wins > losses and float(mcnemar_from_counts(wins, losses)) <= settings.alpha / 2
    return Special(promoted / rounds, float(naive) / rounds)


def of_grades(rounds: int, n: int, random: np.random.Generator) -> Special:
    """Skewed grades from 0 to 1 of two models of the same skill; the naive rule is a t-test without pairs."""
    from scipy.stats import ttest_ind

    settings, promoted, naive = GateSettings(resamples=2000), 0, 0
    groups = tuple(map(str, range(n)))
    for seed in range(rounds):
        ease = random.beta(2, 1, size=n)
        sides = [random.beta(4 * ease + 0.1, 4 * (1 - ease) + 0.1) for _ in range(2)]
        promoted += _promoted(*sides, groups, settings, seed)
        naive += float(ttest_ind(sides[1], sides[0], alternative="greater").pvalue) <= settings.alpha / 2
    return Special(promoted / rounds, naive / rounds)


def _promoted(
    reference: NDArray[np.generic],
    candidate: NDArray[np.generic],
    groups: tuple[str, ...],
    settings: GateSettings,
    seed: int,
) -> bool:
    ids = tuple(map(str, range(len(groups))))
    scores = [tuple(map(float, side)) for side in (reference, candidate)]
    suite = SuiteScores("target", "target", "", ids, groups, scores[0], None, scores[1])
    return decide([suite], settings, look=1, seed=seed).verdict == "promoted"
