"""Rules that promote a candidate, on many simulated rounds at once: ours, those that others ship, and textbook ones.

A round of 0/1 scores is told by four numbers, so a rule looks at arrays of them. `ours` is the gate's own arithmetic
over such arrays (McNemar, α spent over the looks, Tango's bound); `compare` puts its answers beside those of `decide`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln
from scipy.stats import norm
from wheelwork.core.evaluation.gate import GateSettings, decide
from wheelwork.core.evaluation.scores import SuiteScores
from wheelwork.core.evaluation.statistics import mcnemar_from_counts, spent_alpha, tango_statistic

GATE = GateSettings()
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Rounds(NamedTuple):
    """Simulated rounds: `n` items each, and arrays of how many were right before only, after only, and both times.

    `base` is how many the base has right, which is the reference where there is no champion yet.
    """

    n: int
    both: Counts
    losses: Counts
    wins: Counts
    base: Counts

    @property
    def before(self) -> Counts:
        return self.both + self.losses

    @property
    def after(self) -> Counts:
        return self.both + self.wins


@dataclass(frozen=True)
class Rule:
    """Which rounds it promotes at a look, and which guards it lets pass; `items` is the size it is shipped with."""

    name: str
    promotes: Callable[[Rounds, int], Mask]
    passes: Callable[[Rounds, float], Mask]
    items: int | None = None


def ours(rounds: Rounds, look: int) -> Mask:
    """A target as the gate judges it: better, and surer of it than this look's share of α."""
    p_values = mcnemar_from_counts(rounds.wins, rounds.losses)
    return (rounds.wins > rounds.losses) & (p_values <= spent_alpha(GATE.alpha, look)) & (rounds.n >= GATE.min_items)


def our_guard(rounds: Rounds, margin: float) -> Mask:
    """A guard as the gate judges it: the damage is below the margin, so is its bound (Tango's, by its statistic)."""
    seen = (rounds.losses - rounds.wins) / rounds.n
    p_values = norm.cdf(tango_statistic(rounds.losses, rounds.wins, rounds.n, margin))
    return (seen < margin) & (p_values < GATE.guard_alpha) & (rounds.n >= GATE.min_items)


def every_look(rounds: Rounds, look: int) -> Mask:
    """The same test, with the whole α at every look."""
    p_values = mcnemar_from_counts(rounds.wins, rounds.losses)
    return (rounds.wins > rounds.losses) & (p_values <= GATE.alpha)


def e_value(rounds: Rounds, look: int) -> Mask:
    """An e-value against 1 / α of this look: a bet on the wins, its odds mixed evenly over the shares above 1/2.

    E = 2^(m + 1) ∫ θ^wins (1 − θ)^losses dθ over [1/2, 1], m = wins + losses; 1 is expected of it without a gain, so by
    Markov's inequality it reaches 1/α with a chance of at most α (Shafer 2021).
    """
    up, down = rounds.wins + 1.0, rounds.losses + 1.0
    above = np.log(np.maximum(betainc(down, up, 0.5), 1e-300))
    return (rounds.wins + rounds.losses + 1) * np.log(2) + betaln(up, down) + above >= -np.log(
        spent_alpha(GATE.alpha, look)
    )


def as_good(rounds: Rounds, look: int) -> Mask:
    """ZenML's gamesense: promote when the mean is at least the base's, and at least that of what is in its place."""
    return (rounds.after >= rounds.base) & (rounds.after >= rounds.before)


def unpaired(rounds: Rounds, look: int) -> Mask:
    """A z-test of two shares, one-sided, as if the two models had answered different items."""
    return _z(rounds) >= norm.isf(GATE.alpha)


def _z(rounds: Rounds) -> NDArray[np.float64]:
    pooled = (rounds.before + rounds.after) / (2 * rounds.n)
    spread = np.sqrt(np.maximum(2 * pooled * (1 - pooled) / rounds.n, 1e-12))
    return np.asarray((rounds.after - rounds.before) / rounds.n / spread)


RULES = (
    Rule("wheelwork", ours, our_guard),
    Rule("paired test, α at every look", every_look, our_guard),
    Rule("paired e-value, α spent", e_value, our_guard),
    Rule("unpaired z-test", unpaired, lambda rounds, margin: _z(rounds) > -norm.isf(GATE.alpha)),
    Rule("mean ≥ base (gamesense)", as_good, lambda rounds, margin: rounds.after >= rounds.before, items=50),
)
OURS = RULES[0]


def compare(rounds: Rounds, look: int, margin: float, random: np.random.Generator, sample: int) -> tuple[int, int]:
    """How many verdicts were asked of `decide` too, and how many of them differ from those over arrays."""
    settings = GATE.model_copy(update={"resamples": 100})
    chosen = random.choice(rounds.wins.size, size=min(sample, rounds.wins.size), replace=False)
    target, guard = ours(rounds, look), our_guard(rounds, margin)
    differ = 0
    for at in chosen:
        reference, candidate = answers(rounds, int(at))
        ids = tuple(map(str, range(rounds.n)))
        suite = SuiteScores("target", "target", "", ids, ids, reference, None, candidate)
        kept = SuiteScores("guard", "guard", "", ids, ids, reference, None, candidate, margin)
        figures = decide([suite, kept], settings, look, seed=1).figures
        differ += (figures["target"].outcome == "pass") != bool(target[at])
        differ += (figures["guard"].outcome == "pass") != bool(guard[at])
    return 2 * chosen.size, differ


def answers(rounds: Rounds, at: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scores of reference and candidate, item by item, in a round that has been told by its numbers."""
    both, losses, wins = (int(column[at]) for column in (rounds.both, rounds.losses, rounds.wins))
    neither = rounds.n - both - losses - wins
    reference = (1.0,) * (both + losses) + (0.0,) * (wins + neither)
    return reference, (1.0,) * both + (0.0,) * losses + (1.0,) * wins + (0.0,) * neither
