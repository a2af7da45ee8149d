"""Scores of the same items side by side: who has one on both sides, what they gained, and the words for it."""

from math import floor, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import statistics as st
from .scores import SuiteScores
from .verdicts import GateSettings


class Pairs(NamedTuple):
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
    def gains(self) -> st.Array:
        return self.candidate - self.reference

    @property
    def n(self) -> int:
        return len(self.groups)

    @property
    def sources(self) -> int:
        return len(set(self.groups))

    @property
    def clustered(self) -> bool:
        return self.sources < self.n


def pairs_of(suite: SuiteScores, *, also_base: bool) -> Pairs:
    """The pairs of a suite. The reference is the champion where there is one, else the base.

    `also_base` makes the base a rival too, as it is of a guard: else many small losses would add up over the rounds.
    """
    return _paired(suite, _columns(suite), np.arange(len(suite.ids)), also_base)


def slices_of(suite: SuiteScores) -> dict[str, Pairs]:
    """The pairs of each slice, by its name; empty where the suite has none."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(suite.slices):
        if name is not None:
            places.setdefault(name, []).append(place)
    columns = _columns(suite)
    return {name: _paired(suite, columns, np.array(inside), False) for name, inside in sorted(places.items())}


def _paired(suite: SuiteScores, columns: dict[str, st.Array], places: NDArray[np.intp], also_base: bool) -> Pairs:
    inside = {name: scores[places] for name, scores in columns.items()}
    reference = "base" if suite.champion is None else "champion"
    rivals = [name for name in dict.fromkeys((reference, "base") if also_base else (reference,)) if name in inside]
    kept = np.all([~np.isnan(inside[name]) for name in (*rivals, "candidate")], axis=0)
    paired = {name: scores[kept] for name, scores in inside.items()}
    return Pairs(
        rivals={name: paired[name] for name in rivals},
        candidate=paired["candidate"],
        means={name: _mean(scores) for name, scores in paired.items()},
        groups=[suite.groups[index] for index in places[kept]],
        unscored=int(np.count_nonzero(~kept)),
    )


def wins_and_losses(pairs: Pairs) -> dict[str, int]:
    gains = pairs.gains
    return {"wins": int(np.count_nonzero(gains > 0)), "losses": int(np.count_nonzero(gains < 0))}


def interval_of(pairs: Pairs, settings: GateSettings, seed: int) -> tuple[float, float]:
    """The interval of the mean gain, by the cluster bootstrap."""
    return st.cluster_bootstrap_interval(pairs.gains, pairs.groups, seed, settings.resamples, settings.interval_level)


def least_detectable(pairs: Pairs, alpha: float, settings: GateSettings) -> float:
    """The smallest true difference that so many items, which differ so much, show at `alpha`."""
    discordance = float(np.mean(pairs.gains**2))
    graded = not st.is_binary(pairs.reference, pairs.candidate)
    return st.minimal_detectable(pairs.n, discordance, alpha, settings.power, graded)


def compared(pairs: Pairs, interval: tuple[float, float] | None = None) -> str:
    """The two means, on how many items, and the difference, in as many decimals as show it."""
    delta = st.mean(pairs.gains)
    places = 2 if delta == 0 else min(6, max(2, -floor(log10(abs(delta)))))
    candidate, reference = (f"{st.mean(scores):z.{places}f}" for scores in (pairs.candidate, pairs.reference))
    left_out = f" ({pairs.unscored} more unscored)" if pairs.unscored else ""
    change = f"{delta:+.{places}f}"
    if interval is not None:
        low, high = (f"{end:z.{places}f}" for end in interval)
        change += f" [{low}, {high}]"
    return f"{candidate} against {reference} ({next(iter(pairs.rivals))}) on {pairs.n} items{left_out}, {change}"


def apart(value: float, limit: float) -> tuple[str, str]:
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


def _columns(suite: SuiteScores) -> dict[str, st.Array]:
    """The scores by who got them; what is unscored is NaN."""
    return {
        name: np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
        for name, scores in suite.columns.items()
    }
