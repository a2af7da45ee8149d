"""The gate against chance: how often it is fooled, what it sees, what it lets pass, beside the rules of others.

    python -m wheelwork.benchmarks.gate             some minutes: table, benchmarks/results/gate.json, docs/gate-*.svg
    python -m wheelwork.benchmarks.gate --quick     fewer rounds, no pictures: whether it runs

Scores are 0/1, right in 75% of the items, and the answers of two models correlate by 0.5. The rounds are told by
counts, on which ours is arithmetic over arrays; a sample of every case is judged by `decide` too, and the run fails
when one verdict differs, or when a bar of docs/gate.md is missed. adaptergate's own function is run in an environment
of its own; where it cannot be installed it is left out.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from wheelwork.core.evaluation.resampling import cluster_bootstrap_interval, sign_flip_p

from .gate_peer import Adaptergate
from .gate_plot import write_plots
from .gate_rules import GATE, OURS, RULES, Rounds, Rule, compare
from .gate_simulations import Life, drawn, lives, of_grades, of_sources, twins
from .peers import PeerError
from .results import Figure, publish

DOCS = Path(__file__).parents[1] / "docs"
ITEMS, GAIN, DAMAGE, MARGIN, SEED = 2000, 0.03, -0.02, 0.015, 20_241
ASKED = 2_000  # rounds of ITEMS items that adaptergate, which is asked item by item, is given
FOREVER = 50  # rounds in the life of a loop


class Size(NamedTuple):
    """How much is simulated."""

    rounds: int = 10_000
    loops: int = 2_000
    sample: int = 300
    special: int = 1_000


QUICK = Size(1_000, 100, 20, 50)


class Bar(NamedTuple):
    """A figure that must not be above, or below, its limit."""

    what: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    @property
    def sentence(self) -> str:
        asked = f"at most {self.limit:g}" if self.at_most else f"at least {self.limit:g}"
        return f"{'met' if self.met else 'MISSED'}: {self.what}: {self.value:.4g}, {asked}"


class Checked:
    """Verdicts that were asked of `decide` as well."""

    def __init__(self, sample: int) -> None:
        self._random = np.random.default_rng(SEED)
        self._sample = sample
        self.asked = self.differ = 0

    def __call__(self, rounds: Rounds, look: int = 1) -> Rounds:
        asked, differ = compare(rounds, look, MARGIN, self._random, self._sample)
        self.asked, self.differ = self.asked + asked, self.differ + differ
        return rounds


def main() -> None:
    options = argparse.ArgumentParser(description="The gate against chance, beside the rules of others.")
    options.add_argument("--quick", action="store_true", help="fewer rounds, no pictures: whether it runs")
    quick: bool = options.parse_args().quick
    size = QUICK if quick else Size()
    rules, checked = [*RULES, *_peer()], Checked(size.sample)
    figures = list(_chance(rules, size, checked))
    loops = {rule.name: lives(rule, size.loops, FOREVER, rule.items or 200, SEED) for rule in rules}
    figures += _loops(loops, rules)
    large = lives(OURS, max(1, size.loops // (10 if quick else 1)), FOREVER, ITEMS, SEED + 1)
    figures.append(
        _percent(f"{FOREVER} rounds without a gain, {ITEMS:,} items", OURS.name, "fooled", large.fooled_by(FOREVER))
    )
    figures += [*_power(rules, size, checked), *_guards(rules, size, checked), *_special(size), *_speed()]
    figures.append(Figure("verdicts over arrays", OURS.name, "asked of decide too", checked.asked, "verdicts"))
    figures.append(Figure("verdicts over arrays", OURS.name, "differ from decide", checked.differ, "verdicts"))
    publish("gate-quick" if quick else "gate", figures)
    if not quick:
        write_plots(DOCS, loops, rules, size.rounds, SEED)
    bars = _bars(figures)
    for bar in bars:
        print(bar.sentence)
    sys.exit(0 if all(bar.met for bar in bars) else 1)


def _peer() -> list[Rule]:
    try:
        return [Adaptergate().rule]
    except PeerError as error:
        print(f"adaptergate is left out: it cannot be installed: {error}", flush=True)
        return []


def _chance(rules: Sequence[Rule], size: Size, checked: Checked) -> Iterator[Figure]:
    """One round without any gain: the same answers, and other answers of the same skill."""
    for rule in rules:
        same = float(rule.promotes(twins(rule.items or 200), 1).mean())
        yield _percent("the same answers", rule.name, "promoted", same)
    for n in (50, 200, ITEMS):
        rounds = checked(drawn(size.rounds, n, 0.0, np.random.default_rng(SEED)))
        for rule in rules:
            yield _percent(f"one round without a gain, {n:,} items", rule.name, "promoted", _promoted(rule, rounds))


def _loops(loops: dict[str, Life], rules: Sequence[Rule]) -> Iterator[Figure]:
    for rule in rules:
        life, case = loops[rule.name], f"{FOREVER} rounds without a gain, {rule.items or 200} items"
        yield _percent(case, rule.name, "fooled", life.fooled_by(FOREVER))
        yield Figure(case, rule.name, "promotions", float(life.promotions.mean()), "a loop")


def _power(rules: Sequence[Rule], size: Size, checked: Checked) -> Iterator[Figure]:
    for n in (50, 200, ITEMS):
        rounds = checked(drawn(size.rounds, n, GAIN, np.random.default_rng(SEED + 2)))
        for rule in rules:
            yield _percent(f"a true +3 points, {n:,} items", rule.name, "promoted", _promoted(rule, rounds))
    for look in (5, 10, FOREVER):
        for rule in (OURS, next(rule for rule in rules if "e-value" in rule.name)):
            yield _percent(
                f"a true +3 points, {ITEMS:,} items, look {look}", rule.name, "promoted", _promoted(rule, rounds, look)
            )


def _guards(rules: Sequence[Rule], size: Size, checked: Checked) -> Iterator[Figure]:
    for n, damage in ((ITEMS, DAMAGE), (ITEMS, 0.0), (5 * ITEMS, DAMAGE), (5 * ITEMS, 0.0)):
        rounds = drawn(size.rounds, n, damage, np.random.default_rng(SEED + 3))
        rounds = checked(rounds) if n == ITEMS else rounds
        said = "a guard that lost 2 points" if damage else "a guard that lost nothing"
        for rule in rules:
            if rule is not OURS and rule.passes is OURS.passes:
                continue  # the same guard
            if n == ITEMS or "adaptergate" not in rule.name:
                yield _percent(
                    f"{said}, {n:,} items", rule.name, "passed", float(rule.passes(_asked(rule, rounds), MARGIN).mean())
                )


def _special(size: Size) -> Iterator[Figure]:
    """Rounds that `decide` itself judges: items that stem from few sources, and grades that are not 0 or 1."""
    found = of_sources(size.special, 40, 5, np.random.default_rng(SEED + 4))
    case = "no gain, 200 items from 40 sources"
    yield _percent(case, OURS.name, "promoted", found.ours)
    yield _percent(case, "McNemar over items", "promoted", found.naive)
    found = of_grades(size.special, 200, np.random.default_rng(SEED + 5))
    case = "no gain, 200 grades from 0 to 1"
    yield _percent(case, OURS.name, "promoted", found.ours)
    yield _percent(case, "unpaired t-test", "promoted", found.naive)


def _speed() -> Iterator[Figure]:
    """Processor seconds of 10,000 resamples of 10,000 items on one core."""
    random, n = np.random.default_rng(SEED), 10_000
    alone, grades = [str(number) for number in range(n)], random.normal(size=n)
    cases = {
        "0/1 scores": (random.integers(-1, 2, n).astype(float), alone),
        "grades": (grades, alone),
        "0/1 scores, 2,000 sources": (
            random.integers(-1, 2, n).astype(float),
            [str(number // 5) for number in range(n)],
        ),
        "grades, sources of many sizes": (grades, [str(number) for number in random.integers(0, 5_000, n)]),
    }
    for name, (differences, groups) in cases.items():
        started = time.process_time()
        cluster_bootstrap_interval(differences, groups, seed=1, resamples=10_000)
        yield Figure(
            f"bootstrap of 10,000 {name}", OURS.name, "10,000 resamples", time.process_time() - started, "CPU s"
        )
    started = time.process_time()
    sign_flip_p(grades, seed=1, resamples=10_000)
    yield Figure("sign flips of 10,000 grades", OURS.name, "10,000 resamples", time.process_time() - started, "CPU s")


def _promoted(rule: Rule, rounds: Rounds, look: int = 1) -> float:
    return float(rule.promotes(_asked(rule, rounds), look).mean())


def _asked(rule: Rule, rounds: Rounds) -> Rounds:
    most = ASKED if rounds.n >= ITEMS and "adaptergate" in rule.name else rounds.wins.size
    return Rounds(rounds.n, *(column[:most] for column in rounds[1:]))


def _percent(case: str, system: str, metric: str, share: float) -> Figure:
    return Figure(case, system, metric, 100 * share, "%")


def _bars(figures: Sequence[Figure]) -> list[Bar]:
    """What docs/gate.md promises, from the figures of ours."""
    ours = [figure for figure in figures if figure.system == OURS.name]
    alpha = 100 * GATE.alpha
    bars = []
    for one in ours:
        if ("without a gain" in one.case and one.unit == "%") or one.case.startswith(("no gain", "the same answers")):
            bars.append(Bar(f"{one.case}, % {one.metric}", one.value, alpha))
        if one.case == f"a true +3 points, {ITEMS:,} items":
            bars.append(Bar(f"{one.case}, % promoted", one.value, 80, at_most=False))
        if one.case.startswith("a guard that lost 2 points"):
            bars.append(Bar(f"{one.case}, % passed", one.value, 100 * GATE.guard_alpha))
        if one.unit == "CPU s":
            bars.append(Bar(f"{one.case}, CPU seconds", one.value, 2))
        if one.metric == "differ from decide":
            bars.append(Bar("verdicts that differ from decide", one.value, 0))
    return bars


if __name__ == "__main__":
    main()
