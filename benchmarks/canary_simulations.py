"""Trials that are simulated: the canary's tests over arrays of requests.

The tests of `core/serving/canary` are written once more here, over arrays, so that thousands of trials take a minute.
`canary_itself.py` gives a trial request by request to the Canary itself, which decides the same at the same request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import lfilter
from wheelwork.core.serving.canary import outcomes
from wheelwork.core.serving.canary.betting import ANEW, FRACTIONS, MEMORY, TRUST
from wheelwork.core.serving.canary.outcomes import BINS, ENOUGH, FASTEST, MOST, PER_DECADE
from wheelwork.core.serving.canary.settings import CanarySettings, Stage

from .canary_worlds import Crowd, Flags, Floats, Ints, Requests, World

STAKES = np.array(FRACTIONS)[:, None]
LOW = 2.9  # a logarithm below every bar: those are 1/beta = 20 and more


@dataclass
class Test:
    """`Comparison` over arrays; what is carried from chunk to chunk."""

    harm: Floats = field(default_factory=lambda: np.zeros(len(FRACTIONS)))
    safe: Floats = field(default_factory=lambda: np.zeros(len(FRACTIONS)))
    count: int = 0
    stable: int = 0
    bad: float = 0.0
    allowed: float = 0.0
    excluded: bool = False

    def feed(
        self, candidate: Flags, share: Floats | float, bad: Floats, tolerance: float, margin: float, allowed: Floats
    ) -> tuple[Floats, Floats]:
        """The logarithms of both capitals after each outcome."""
        count = self.count + np.arange(len(bad))
        gain, least, _ = _seen(candidate, share, bad, (_before(bad, self.bad) + 0.1) / (count + 1))
        harm, self.harm = _staked(self.harm, (gain - tolerance) / (tolerance - least))
        gain, _, most = _seen(candidate, share, allowed, (_before(allowed, self.allowed) + 0.1) / (count + 1))
        safe, self.safe = _staked(self.safe, (margin - gain) / (most - margin))
        self.count += len(bad)
        self.bad, self.allowed = self.bad + float(bad.sum()), self.allowed + float(allowed.sum())
        return harm, safe


@dataclass
class Braked:
    """`Brake` over arrays."""

    capitals: Floats = field(default_factory=lambda: np.zeros(len(FRACTIONS)))
    requests: int = 0
    candidates: int = 0
    recent: float = 0.0

    def feed(self, candidate: Flags, share: float, failed: Flags, rise: float) -> Floats:
        """The logarithm of the capital after each request."""
        ones = candidate.astype(float)
        seen = self.requests + np.arange(len(failed))
        shares = (_before(ones, self.candidates) + TRUST * share) / (seen + TRUST)
        keep = 1 - 1 / MEMORY
        after, _ = lfilter([1 / MEMORY], [1, -keep], failed.astype(float), zi=[keep * self.recent])
        recent = np.concatenate([[self.recent], after[:-1]])
        gain, least, _ = _seen(candidate, shares, failed.astype(float), recent)
        harm = self._restarted((gain - rise) / (rise - least))
        self.requests, self.candidates, self.recent = (
            self.requests + len(failed), self.candidates + int(ones.sum()), float(after[-1])
        )  # fmt: skip
        return harm

    def _restarted(self, ratio: Floats) -> Floats:
        """`Restarted` over arrays: the logarithm of what all capitals and what is kept back come to."""
        found, logs, start = np.empty(len(ratio)), np.log1p(STAKES * ratio), 0
        while start < len(ratio):
            started, into = divmod(self.requests + start, ANEW)
            end = min(len(ratio), start + ANEW - into)
            fresh = 0.0 if into else 1 / ((started + 1) * (started + 2))
            grown = (self.capitals + fresh)[:, None] * np.exp(np.minimum(np.cumsum(logs[:, start:end], axis=1), 600))
            found[start:end], self.capitals = grown.mean(axis=0) + 1 / (started + 2), np.minimum(grown[:, -1], 1e300)
            start = end
        return np.log(found)


class Slow:
    """`Latencies` over arrays: the ranks of answers among those of the stable version before them."""

    def __init__(self) -> None:
        self.counts, self.total = np.zeros(BINS, dtype=np.int64), 0
        self.ranks: Floats = np.full(BINS, np.nan)

    def feed(self, counted: Flags, seconds: Floats, *shortened: Floats) -> list[Floats]:
        """The rank of each of `shortened`, (n,) each; NaN before there are any. Those `counted` are added."""
        bins = [_bins(one) for one in shortened]
        found = [np.empty(len(seconds)) for _ in shortened]
        added = np.flatnonzero(counted)
        own, done, start = _bins(seconds[added]), 0, 0
        while done < len(added):
            until = ENOUGH if self.total < ENOUGH else (self.total // outcomes.ANEW + 1) * outcomes.ANEW
            take = min(until - self.total, len(added) - done)
            self.counts += np.bincount(own[done : done + take], minlength=BINS)
            self.total, done = self.total + take, done + take
            end = added[done - 1] + 1
            for one, places in zip(found, bins, strict=True):
                one[start:end] = self.ranks[places[start:end]]
            start = end
            if self.total == ENOUGH or (self.total > ENOUGH and self.total % outcomes.ANEW == 0):
                self.ranks = (np.cumsum(self.counts) - self.counts / 2) / self.total
            if self.total >= MOST:
                self.counts //= 2
                self.total = int(self.counts.sum())
        for one, places in zip(found, bins, strict=True):
            one[start:] = self.ranks[places[start:]]
        return found


def _bins(seconds: Floats) -> Ints:
    bins = (PER_DECADE * np.log10(np.maximum(seconds, FASTEST) / FASTEST)).astype(np.int64)
    return np.minimum(bins, BINS - 1)


class Ended(NamedTuple):
    """How a trial ended: `rolled_back`, `everybody`, or `open` after all its requests; after how many, and why."""

    how: str
    requests: int
    kind: str = ""
    stage: int = 0


def trial(world: World, limits: CanarySettings, random: np.random.Generator, most: int) -> Ended:
    """One trial of at most so many requests, looked at after each of them."""
    crowd, done = Crowd(world, random), 0
    for number, stage in enumerate(limits.plan):
        tests = Tests(stage, number, limits, bool(world.users))
        while True:
            if done >= most:
                return Ended("open", done, stage=number)
            how, at, kind = tests.feed(crowd.more())
            if how == "roll_back":
                return Ended("rolled_back", done + at, kind, number)
            done += at
            if how == "widen":
                break
    return Ended("everybody", done, stage=len(limits.plan))


class Tests:
    """All tests of a stage, over arrays of requests."""

    def __init__(self, stage: Stage, number: int, limits: CanarySettings, users: bool) -> None:
        self.stage, self.number, self.limits, self.users = stage, number, limits, users
        self.tests = {kind: Test() for kind in limits.kinds if kind != "collapse"}
        self.brake, self.slow = Braked(), Slow()
        self.asked: set[int] = set()
        self.spoke: set[int] = set()

    def feed(self, requests: Requests) -> tuple[str, int, str]:
        """`hold`, `widen` or `roll_back`, after how many of these requests, and by which kind."""
        limits, stage = self.limits, self.stage
        candidate = requests.place < stage.share
        arm, rows = candidate.astype(np.int64), np.arange(len(candidate))
        failed, latency = requests.failed[rows, arm], requests.latency[rows, arm]
        share = stage.moved if self.users else stage.share
        drawn = requests.place >= stage.before if self.users else np.ones(len(rows), dtype=bool)
        units = drawn & self._first(requests.who, np.ones(len(rows), dtype=bool), self.asked)
        harms = {"collapse": (rows, self.brake.feed(candidate, stage.share, failed, limits.collapse))}
        seen = candidate, share
        events = {"errors": (units, failed.astype(float), failed.astype(float), seen)}
        shortened = [np.where(candidate, latency / (1 + slower), latency)
                     for slower in (limits.latency.tolerance, limits.latency.margin)]  # fmt: skip
        bad, allowed = self.slow.feed(~candidate & ~failed, latency, *shortened)
        events["latency"] = (units & ~failed & ~np.isnan(bad), bad, allowed, seen)
        spoken = drawn & self._first(requests.who, requests.spoke, self.spoke)
        unhappy = requests.displeased[rows, arm].astype(float)
        events["feedback"] = (spoken, unhappy, unhappy, seen)
        if "judge" in self.tests:
            ratio = share / (1 - share)
            rate = limits.judge.share * np.where(candidate, min(1.0, 1 / ratio), min(1.0, ratio))
            low = 1 - requests.judged[rows, arm]
            events["judge"] = (units & ~failed & (requests.coin < rate), low, low, (candidate, 0.5))
        return self._ruled(candidate, events, harms)

    def _ruled(self, candidate: Flags, events: dict[str, Any], harms: dict[str, Any]) -> tuple[str, int, str]:
        limits, n = self.limits, len(candidate)
        before = self.brake.candidates - int(candidate.sum())
        ready = before + np.cumsum(candidate) >= limits.min_requests
        known_any, nothing_open = np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
        for kind, (which, bad, allowed, (arm, share)) in events.items():
            test, at = self.tests[kind], np.flatnonzero(which)
            tolerance, margin = _bounds(kind, limits)
            harm, safe = test.feed(arm[at], share, bad[at], tolerance, margin, allowed[at])
            harms[kind] = (at, harm)
            known = test.stable + np.cumsum(which & ~arm) >= limits.known
            excluded = np.full(n, test.excluded)
            if not test.excluded and (crossed := _crossed(safe, np.log(limits.safe_bar))) is not None:
                excluded[at[crossed] :] = True
            test.stable, test.excluded = test.stable + int((which & ~arm).sum()), bool(excluded[-1])
            known_any |= known
            nothing_open &= ~known | excluded
        widened = _first_true(ready & known_any & nothing_open)
        shown = {kind: at[crossed] for kind, (at, harm) in harms.items()
                 if (crossed := _crossed(harm, limits.log_harm_bar)) is not None}  # fmt: skip
        if shown:
            kind = min(shown, key=lambda one: int(shown[one]))
            if widened is None or shown[kind] <= widened:
                return "roll_back", int(shown[kind]) + 1, kind
        return ("hold", n, "") if widened is None else ("widen", widened + 1, "")

    def _first(self, who: Ints, which: Flags, known: set[int]) -> Flags:
        """Where somebody appears for the first time among `which`."""
        if not self.users:
            return which
        first = np.zeros(len(who), dtype=bool)
        at = np.flatnonzero(which)
        names, index = np.unique(who[at], return_index=True)
        for name, place in zip(names.tolist(), at[index].tolist(), strict=True):
            if name not in known:
                known.add(name)
                first[place] = True
        return first


def _bounds(kind: str, limits: CanarySettings) -> tuple[float, float]:
    if kind == "latency":
        return 0.0, 0.0
    setting = getattr(limits, kind)
    return setting.tolerance, setting.margin


def _seen(candidate: Flags, share: Floats | float, bad: Floats, middle: Floats) -> tuple[Floats, Floats, Floats]:
    rest = 1 - share
    gain = np.where(candidate, (bad - middle) / share, (middle - bad) / rest)
    return gain, -np.maximum(middle / share, (1 - middle) / rest), np.maximum((1 - middle) / share, middle / rest)


def _staked(carried: Floats, ratio: Floats) -> tuple[Floats, Floats]:
    """The logarithm of the mean capital after each outcome, and the logarithms of all at the end.

    Where no capital ever reaches LOW the highest of them stands for the mean, which is less and decides nothing.
    """
    if not len(ratio):
        return ratio, carried
    logs = np.cumsum(np.log1p(STAKES * ratio), axis=1) + carried[:, None]
    most: Floats = logs.max(axis=0)
    if most.max() < LOW:
        return most, logs[:, -1]
    return most + np.log(np.exp(logs - most).mean(axis=0)), logs[:, -1]


def _before(values: Floats, carried: float) -> Floats:
    """The sum of all values before each."""
    return carried + np.concatenate([[0.0], np.cumsum(values)[:-1]]) if len(values) else values


def _crossed(path: Floats, bar: float) -> int | None:
    return _first_true(path >= bar)


def _first_true(flags: Flags) -> int | None:
    return int(np.argmax(flags)) if flags.any() else None


def many(run: Callable[[np.random.Generator], Any], times: int, seed: int) -> Iterator[Any]:
    """`run` so many times, each with random numbers of its own."""
    for child in np.random.SeedSequence(seed).spawn(times):
        yield run(np.random.default_rng(child))
