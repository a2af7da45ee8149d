"""What the statistics say of one suite: better or not, damaged or not, or too little to tell.

A target must get better: exact McNemar for 0/1 scores, a sign-flip permutation otherwise, one-sided. A guard must not
get worse than champion *and* base by its margin: the upper bound of the damage stays below it. Where several items
stem from one source, the same test or bound over whole sources has to agree as well.
"""

from math import ceil
from typing import NamedTuple

import numpy as np

from . import statistics as st
from .pairs import Pairs, apart
from .verdicts import GateSettings, Outcome

MOST_DRAWS = 1_000_000
"""Permutations at most: some seconds. From about look 220 on α is below what they can tell."""
NEAR = 10  # of the first draws, up to which more are worth while


class Ruling(NamedTuple):
    """The outcome of one suite, its p-value and the level that it was held to, and the reason in words."""

    outcome: Outcome
    p_value: float
    alpha: float
    because: str
    needed: int | None = None
    damage_bound: float | None = None


def gain_p(pairs: Pairs, settings: GateSettings, alpha: float, seed: int) -> float:
    """p-value of "the candidate is no better"; 1 without items.

    Where few of the first draws reach what was seen, so many are made that p can fall below the α of a late look. It
    is then the p-value of these alone, so that looking twice does not make a promotion likelier.
    """
    if pairs.n == 0:
        return 1.0
    sides = (pairs.reference, pairs.candidate, pairs.groups, seed)
    p_value = st.superiority_p(*sides, settings.resamples)
    draws = min(ceil(4 / alpha), MOST_DRAWS)
    if draws <= settings.resamples or p_value > NEAR / settings.resamples:
        return p_value
    return st.superiority_p(*sides, draws)


def judge_gain(pairs: Pairs, p_value: float, alpha: float, settings: GateSettings) -> Ruling:
    """Whether a target got better; `p_value` comes from `gain_p`."""
    gains = pairs.gains
    delta = st.mean(gains)
    if not gains.any():
        return Ruling("fail", 1.0, alpha, "no item changed")
    if delta <= 0:
        return Ruling("fail", p_value, alpha, "which is not better")
    p_text, alpha_text = apart(p_value, alpha)
    if p_value <= alpha:
        return Ruling("pass", p_value, alpha, f"p = {p_text} ≤ {alpha_text}")
    if alpha < 1 / MOST_DRAWS and p_value == 1 / (1 + MOST_DRAWS):
        because = f"p = {p_text} is the least that permutations can tell and above {alpha_text}: draw a fresh holdout"
        return Ruling("unclear", p_value, alpha, because)
    # the exact test asks for a little more than the formula: never name fewer items than were just too few
    needed = max(st.items_needed(float(np.mean(gains**2)), delta, alpha, settings.power), gains.size + 1)
    because = f"p = {p_text} > {alpha_text}, too few items to tell: a true gain of this size needs about {needed:,}"
    return Ruling("unclear", p_value, alpha, because, needed)


def judge_damage(pairs: Pairs, margin: float, settings: GateSettings, seed: int) -> Ruling:
    """Whether a guard kept what its rivals have, but for less than `margin`."""
    alpha = settings.guard_alpha
    sure = (margin, alpha, seed, settings.resamples)
    damages = {name: st.damage(rival, pairs.candidate, pairs.groups, *sure) for name, rival in pairs.rivals.items()}
    most = max(damages, key=lambda name: damages[name].mean)
    worst = max(damages, key=lambda name: damages[name].bound)
    seen, bound, p_value = damages[most].mean, damages[worst].bound, max(one.p_value for one in damages.values())
    if seen >= margin:
        because = "damage against {} is {} ≥ {}".format(most, *apart(seen, margin))
        return Ruling("fail", p_value, alpha, because, damage_bound=bound)
    shown, limit = apart(bound, margin)
    if bound < margin:
        because = f"damage against {worst} at most {shown} < {limit}"
        return Ruling("pass", p_value, alpha, because, damage_bound=bound)
    because = f"damage against {worst} may reach {shown} ≥ {limit}, too few items to tell"
    if p_value >= 0.5:  # the damage is about the margin itself: no number of items can be named
        return Ruling("unclear", p_value, alpha, because, damage_bound=bound)
    needed = max(st.items_to_clear(pairs.n, p_value, alpha, settings.power), pairs.n + 1)
    return Ruling("unclear", p_value, alpha, f"{because}: about {needed:,} are needed", needed, bound)


def below_floor(ruling: Ruling, pairs: Pairs, floor: float | None) -> Ruling:
    """`ruling`, unless the candidate's mean is below the least that is good enough to be served."""
    if floor is None or (mean := st.mean(pairs.candidate)) >= floor:
        return ruling
    because = "which is below the floor: {} < {}".format(*apart(mean, floor))
    return ruling._replace(outcome="fail", because=because, needed=None)


def doubted(ruling: Ruling, pairs: Pairs, settings: GateSettings) -> Ruling:
    """`ruling`, unless too few items or too many unscored ones take its ground away."""
    if pairs.sources < settings.min_items:
        what = f"items of {pairs.sources} sources" if pairs.clustered else f"{pairs.n} items"
        needed = max(ceil(pairs.n * settings.min_items / pairs.sources), ruling.needed or 0)
        because = f"{what} are too few to tell: at least {settings.min_items} are needed"
        return ruling._replace(outcome="unclear", because=because, needed=needed)
    if pairs.unscored > settings.max_unscored * (pairs.n + pairs.unscored):
        because = f"more than {settings.max_unscored:.0%} is unscored: find out why, then benchmark again"
        return ruling._replace(outcome="unclear", because=because)
    return ruling


def nothing_scored(alpha: float, settings: GateSettings) -> Ruling:
    """The ruling on a suite that has no pair at all."""
    return Ruling("unclear", 1.0, alpha, "", settings.min_items)
