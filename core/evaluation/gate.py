"""The gate: scores of base, champion and candidate in, a verdict with its evidence out. Pure.

A target suite must get better: exact McNemar for 0/1 scores, a sign-flip permutation otherwise, one-sided, at the
share of α that this look at the holdouts may spend. A guard must not get worse than champion *and* base by its
margin: the upper bound of the damage stays below it (base too, or many small losses would add up over the rounds).
Every suite has to pass, so none of them needs a correction for the others (intersection–union, Berger 1982).
Where several items stem from one source, the same test or bound over whole sources has to agree as well.
"""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..errors import ConfigError
from ..settings import Setting
from . import statistics as st
from .scores import Scores, SuiteScores, check_scores

Outcome = Literal["pass", "fail", "unclear"]


class GateSettings(Setting):
    """How sure the gate has to be."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance of a false promotion over the life of a holdout")
    guard_alpha: float = Field(
        0.05, gt=0, lt=0.5, description="chance that a guard misses damage as large as its margin"
    )
    power: float = Field(0.8, ge=0.5, lt=1, description="chance to see a true gain that needed items are counted for")
    min_items: int = Field(20, ge=2, description="scored items of different sources below which a suite says nothing")
    max_unscored: float = Field(0.1, ge=0, lt=1, description="share of unscored items above which a suite says nothing")
    interval_level: float = Field(0.95, gt=0.5, lt=1, description="level of the reported intervals")
    resamples: int = Field(10_000, ge=100, le=1_000_000, description="bootstrap and permutation draws")


class SuiteFigures(Setting):
    """What one suite says. Means, `delta` and `ci` stay None, and `p_value` 1, when no item was scored.

    Means are over the `n` paired items; `delta` and `ci` are candidate minus reference; `margin` and
    `damage_bound` belong to guards; `needed` is set when more items could tell.
    """

    role: Literal["target", "guard"]
    digest: str
    n: int = 0
    unscored: int = 0
    base: float | None = None
    champion: float | None = None
    candidate: float | None = None
    delta: float | None = None
    ci: tuple[float, float] | None = None
    p_value: float = 1.0
    alpha: float
    min_detectable: float = 1.0
    wins: int = 0
    losses: int = 0
    margin: float | None = None
    damage_bound: float | None = None
    needed: int | None = None
    outcome: Outcome
    sentence: str


class Decision(Setting):
    """The verdict, the sentences that decided it, and the figures of every suite."""

    verdict: Literal["promoted", "rejected", "inconclusive"]
    reasons: tuple[str, ...]
    figures: dict[str, SuiteFigures]
    alpha: float
    look: int


def decide(suites: Sequence[SuiteScores], settings: GateSettings, look: int, seed: int) -> Decision:
    """Judge a candidate at the `look`-th look (from 1) at these suites.

    The reference is the champion when there is one, else the base. Any suite that fails rejects; else any that is
    unclear leaves it open. Raises ConfigError for suites that cannot be judged together, DataError for scores
    that are no evidence (empty, unpaired, twice the same id, not finite).
    """
    if look < 1:
        raise ConfigError(f"looks at the holdouts are counted from 1, not {look}")
    check_scores(suites)
    alpha = st.spent_alpha(settings.alpha, look)
    figures = {suite.name: _figures(suite, settings, alpha, seed) for suite in suites}
    outcomes = {one.outcome for one in figures.values()}
    decisive: Outcome = "fail" if "fail" in outcomes else "unclear" if "unclear" in outcomes else "pass"
    verdicts: dict[Outcome, Literal["promoted", "rejected", "inconclusive"]]
    verdicts = {"fail": "rejected", "unclear": "inconclusive", "pass": "promoted"}
    reasons = tuple(one.sentence for one in figures.values() if one.outcome == decisive)
    return Decision(verdict=verdicts[decisive], reasons=reasons, figures=figures, alpha=alpha, look=look)


class _Pairs(NamedTuple):
    """The items that every compared side has a score for; `rivals` are who must be matched, the reference first."""

    rivals: dict[str, st.Array]
    candidate: st.Array
    means: dict[str, float | None]  # of base, champion and candidate over these items
    groups: list[str]
    unscored: int

    @property
    def reference(self) -> st.Array:
        return next(iter(self.rivals.values()))

    @property
    def sources(self) -> int:
        return len(set(self.groups))

    @property
    def clustered(self) -> bool:
        return self.sources < len(self.groups)


class _Ruling(NamedTuple):
    outcome: Outcome
    p_value: float
    because: str
    needed: int | None = None
    damage_bound: float | None = None


def _figures(suite: SuiteScores, settings: GateSettings, alpha: float, seed: int) -> SuiteFigures:
    pairs, guard = _pairs(suite), suite.role == "guard"
    shared: dict[str, Any] = {"role": suite.role, "digest": suite.digest, "unscored": pairs.unscored}
    shared |= {"alpha": settings.guard_alpha, "margin": suite.margin} if guard else {"alpha": alpha}
    n = len(pairs.groups)
    if n == 0:
        sentence = f"{suite.name}: none of {pairs.unscored} items was scored on both sides"
        return SuiteFigures(**shared, outcome="unclear", needed=settings.min_items, sentence=sentence)
    gains = pairs.candidate - pairs.reference
    ruling = _guard(pairs, suite.margin, settings, seed) if guard else _target(pairs, settings, alpha, seed)
    ruling = _doubted(ruling, pairs, settings)
    draw = (seed, settings.resamples, settings.interval_level)
    interval = st.cluster_bootstrap_interval(gains, pairs.groups, *draw)
    return SuiteFigures(
        **shared,
        **pairs.means,
        n=n,
        delta=st.mean(gains),
        ci=interval,
        p_value=ruling.p_value,
        min_detectable=_min_detectable(pairs, shared["alpha"], settings),
        wins=int(np.count_nonzero(gains > 0)),
        losses=int(np.count_nonzero(gains < 0)),
        damage_bound=ruling.damage_bound,
        needed=ruling.needed,
        outcome=ruling.outcome,
        sentence=_sentence(suite.name, pairs, interval, ruling.because),
    )


def _min_detectable(pairs: _Pairs, alpha: float, settings: GateSettings) -> float:
    n, discordance = pairs.candidate.size, float(np.mean((pairs.candidate - pairs.reference) ** 2))
    graded = not st.is_binary(pairs.reference, pairs.candidate)
    return st.minimal_detectable(n, discordance, alpha, settings.power, graded)


def _pairs(suite: SuiteScores) -> _Pairs:
    columns = {name: _array(scores) for name, scores in suite.columns.items()}
    reference = "base" if suite.champion is None else "champion"
    rivals = dict.fromkeys((reference, "base") if suite.role == "guard" else (reference,))
    kept = np.all([~np.isnan(columns[name]) for name in (*rivals, "candidate")], axis=0)
    paired = {name: scores[kept] for name, scores in columns.items()}
    return _Pairs(
        rivals={name: paired[name] for name in rivals},
        candidate=paired["candidate"],
        means={name: _mean(scores) for name, scores in paired.items()},
        groups=[suite.groups[index] for index in np.flatnonzero(kept)],
        unscored=int(np.count_nonzero(~kept)),
    )


def _target(pairs: _Pairs, settings: GateSettings, alpha: float, seed: int) -> _Ruling:
    gains = pairs.candidate - pairs.reference
    delta = st.mean(gains)
    if not gains.any():
        return _Ruling("fail", 1.0, "no item changed")
    draws = max(settings.resamples, ceil(4 / alpha))  # with fewer, p could not reach the α of a late look
    p_value = st.superiority_p(pairs.reference, pairs.candidate, pairs.groups, seed, draws)
    if delta <= 0:
        return _Ruling("fail", p_value, "which is not better")
    p_text, alpha_text = _apart(p_value, alpha)
    if p_value <= alpha:
        return _Ruling("pass", p_value, f"p = {p_text} ≤ {alpha_text}")
    # the exact test asks for a little more than the formula: never name fewer items than were just too few
    needed = max(st.items_needed(float(np.mean(gains**2)), delta, alpha, settings.power), gains.size + 1)
    because = f"p = {p_text} > {alpha_text}, too few items to tell: a true gain of this size needs about {needed:,}"
    return _Ruling("unclear", p_value, because, needed)


def _guard(pairs: _Pairs, margin: float, settings: GateSettings, seed: int) -> _Ruling:
    sure = (margin, settings.guard_alpha, seed, settings.resamples)
    damages = {name: st.damage(rival, pairs.candidate, pairs.groups, *sure) for name, rival in pairs.rivals.items()}
    most = max(damages, key=lambda name: damages[name].mean)
    worst = max(damages, key=lambda name: damages[name].bound)
    seen, bound, p_value = damages[most].mean, damages[worst].bound, max(one.p_value for one in damages.values())
    if seen >= margin:
        because = "damage against {} is {} ≥ {}".format(most, *_apart(seen, margin))
        return _Ruling("fail", p_value, because, damage_bound=bound)
    shown, limit = _apart(bound, margin)
    if bound < margin:
        because = f"damage against {worst} at most {shown} < {limit}"
        return _Ruling("pass", p_value, because, damage_bound=bound)
    because = f"damage against {worst} may reach {shown} ≥ {limit}, too few items to tell"
    if p_value >= 0.5:  # the damage is about the margin itself: no number of items can be named
        return _Ruling("unclear", p_value, because, damage_bound=bound)
    n = pairs.candidate.size
    needed = max(st.items_to_clear(n, p_value, settings.guard_alpha, settings.power), n + 1)
    return _Ruling("unclear", p_value, f"{because}: about {needed:,} are needed", needed, bound)


def _doubted(ruling: _Ruling, pairs: _Pairs, settings: GateSettings) -> _Ruling:
    """`ruling`, unless too few items or too many unscored ones take its ground away."""
    n = len(pairs.groups)
    if pairs.sources < settings.min_items:
        what = f"items of {pairs.sources} sources" if pairs.clustered else f"{n} items"
        needed = max(ceil(n * settings.min_items / pairs.sources), ruling.needed or 0)
        because = f"{what} are too few to tell: at least {settings.min_items} are needed"
        return ruling._replace(outcome="unclear", because=because, needed=needed)
    if pairs.unscored > settings.max_unscored * (n + pairs.unscored):
        because = f"more than {settings.max_unscored:.0%} is unscored: find out why, then benchmark again"
        return ruling._replace(outcome="unclear", because=because)
    return ruling


def _sentence(name: str, pairs: _Pairs, interval: tuple[float, float], because: str) -> str:
    delta = st.mean(pairs.candidate - pairs.reference)
    # enough decimals to show a small difference
    places = 2 if delta == 0 else min(6, max(2, -floor(log10(abs(delta)))))
    low, high, candidate, reference = (
        f"{value:z.{places}f}" for value in (*interval, st.mean(pairs.candidate), st.mean(pairs.reference))
    )
    left_out = f" ({pairs.unscored} more unscored)" if pairs.unscored else ""
    return (
        f"{name}: {candidate} against {reference} ({next(iter(pairs.rivals))}) on {len(pairs.groups)} items{left_out}, "
        f"{delta:+.{places}f} [{low}, {high}], {because}"
    )


def _apart(value: float, limit: float) -> tuple[str, str]:
    """Both numbers in as few digits, from two, as still tell them apart."""
    shown = f"{value:.2g}", f"{limit:.2g}"
    for digits in range(3, 18):
        if value == limit or shown[0] != shown[1]:
            break
        shown = f"{value:.{digits}g}", f"{limit:.{digits}g}"
    return shown


def _mean(scores: st.Array) -> float | None:
    scored = scores[~np.isnan(scores)]  # a target's base is only shown, so it may lack scores that the pairs have
    return st.mean(scored) if scored.size else None


def _array(scores: Scores) -> st.Array:
    return np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
