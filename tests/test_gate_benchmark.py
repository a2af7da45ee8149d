"""The benchmark of the gate: its arithmetic over arrays is the gate's, and its simulations are what they say."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as some
from scipy.stats import binom
from wheelwork.benchmarks import gate_peer, gate_rules
from wheelwork.benchmarks.gate import Bar, Checked, _bars
from wheelwork.benchmarks.gate_peer import _with_those_between
from wheelwork.benchmarks.gate_plot import write_plots
from wheelwork.benchmarks.gate_rules import GATE, OURS, RULES, Rounds, answers, compare, e_value
from wheelwork.benchmarks.gate_simulations import Life, drawn, lives, of_grades, of_sources, twins
from wheelwork.benchmarks.results import Figure
from wheelwork.core.evaluation.gate import decide
from wheelwork.core.evaluation.scores import SuiteScores
from wheelwork.core.evaluation.statistics import spent_alpha

counts = some.integers(0, 60)


def rounds_of(both: int, losses: int, wins: int, neither: int) -> Rounds:
    n = both + losses + wins + neither
    return Rounds(n, *(np.array([number]) for number in (both, losses, wins, both + losses)))


@effort(max_examples=150)
@given(counts, counts, counts, counts, some.integers(1, 60), some.sampled_from([0.005, 0.015, 0.05, 0.2]))
def test_arithmetic_over_arrays_is_what_the_gate_decides(
    both: int, losses: int, wins: int, neither: int, look: int, margin: float
) -> None:
    rounds = rounds_of(both, losses, wins, neither + 1)
    reference, candidate = answers(rounds, 0)
    ids = tuple(map(str, range(rounds.n)))
    suite = SuiteScores("target", "target", "", ids, ids, reference, None, candidate)
    kept = SuiteScores("guard", "guard", "", ids, ids, reference, None, candidate, margin)
    settings = GATE.model_copy(update={"resamples": 100})
    alone, both_suites = decide([suite], settings, look, 1), decide([suite, kept], settings, look, 1)
    assert (alone.verdict == "promoted") == bool(OURS.promotes(rounds, look)[0])
    assert (both_suites.figures["guard"].outcome == "pass") == bool(OURS.passes(rounds, margin)[0])


def test_a_rule_that_drifts_from_the_gate_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = drawn(50, 200, 0.05, np.random.default_rng(1))
    assert compare(rounds, 3, 0.1, np.random.default_rng(2), 40) == (80, 0)
    checked = Checked(5)
    assert checked(rounds) is rounds
    assert (checked.asked, checked.differ) == (10, 0)
    monkeypatch.setattr(gate_rules, "ours", gate_rules.every_look)
    assert compare(rounds, 3, 0.1, np.random.default_rng(2), 40)[1] > 0


def test_rounds_have_the_skill_and_the_correlation_that_they_say() -> None:
    rounds = drawn(4_000, 500, 0.03, np.random.default_rng(3))
    total = 4_000 * 500
    p, q, both = (column.sum() / total for column in (rounds.before, rounds.after, rounds.both))
    assert (p, q) == (pytest.approx(0.75, abs=0.002), pytest.approx(0.78, abs=0.002))
    assert (both - p * q) / np.sqrt(p * (1 - p) * q * (1 - q)) == pytest.approx(0.5, abs=0.01)


def test_no_e_value_is_expected_to_be_above_one() -> None:
    for changed in (1, 5, 40):
        wins = np.arange(changed + 1)
        rounds = Rounds(500, wins, changed - wins, wins, wins)
        chance = binom.pmf(wins, changed, 0.5)
        for look in (1, 3):
            assert chance[e_value(rounds, look)].sum() <= spent_alpha(0.05, look)
    sure = Rounds(500, *(np.array([number]) for number in (300, 0, 40, 300)))
    assert e_value(sure, 1).all()


def test_who_answers_the_same_is_promoted_only_by_those_who_ask_for_no_more() -> None:
    promoted = {rule.name: bool(rule.promotes(twins(50), 1)[0]) for rule in RULES}
    assert [name for name, once in promoted.items() if once] == ["mean ≥ base (gamesense)"]


def test_the_life_of_a_loop_is_counted_from_its_first_promotion() -> None:
    rules = {rule.name: rule for rule in RULES}
    ours = lives(OURS, 300, 20, 100, seed=1)
    assert ours.first.shape == ours.promotions.shape == (300,)
    assert ours.fooled_by(20) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert ((ours.first > 0) == (ours.promotions > 0)).all()
    easy = lives(rules["mean ≥ base (gamesense)"], 300, 20, 50, seed=1)
    assert easy.fooled_by(1) == pytest.approx(0.56, abs=0.1)
    assert easy.fooled_by(20) > 0.85
    early, every = easy.fooled_by(5), lives(rules["paired test, α at every look"], 300, 20, 100, seed=1)
    assert early > every.fooled_by(20) > 0.15


def test_items_of_few_sources_and_grades_are_judged_by_the_gate_itself() -> None:
    sources = of_sources(60, 40, 5, np.random.default_rng(1))
    assert sources.ours <= 0.1 < sources.naive
    assert of_grades(60, 60, np.random.default_rng(1)).ours <= 0.1


def test_the_peer_is_asked_for_each_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Fake(gate_peer.Adaptergate):
        def __init__(self) -> None:
            self._known, self.calls = {}, 0

        def _ask(self, n: int, pairs: set[tuple[int, int]]) -> None:
            asked.append(len(pairs))
            self._known[n] |= {(before, after): after >= before - 1 for before, after in pairs}

    rule = Fake().rule
    assert "adaptergate 0.5.4" in rule.name
    rounds = rounds_of(30, 2, 1, 5)
    assert rule.promotes(rounds, 1).tolist() == [True]
    assert rule.passes(rounds_of(30, 5, 1, 2), 0.1).tolist() == [False]
    assert len(asked) == 1, "pairs near by were asked for at once"
    assert _with_those_between({(0, 5_000)}, 5_000) == {(0, 5_000)}


def test_a_bar_that_is_missed_is_told() -> None:
    figures = [
        Figure("one round without a gain, 50 items", OURS.name, "promoted", 6.0, "%"),
        Figure("one round without a gain, 50 items", "another", "promoted", 60.0, "%"),
        Figure("a true +3 points, 2,000 items", OURS.name, "promoted", 85.0, "%"),
        Figure("a guard that lost 2 points, 2,000 items", OURS.name, "passed", 2.0, "%"),
        Figure("verdicts over arrays", OURS.name, "differ from decide", 0.0, "verdicts"),
    ]
    assert [bar.met for bar in _bars(figures)] == [False, True, True, True]
    assert Bar("speed", 2.5, 2).met is False


def test_pictures_are_drawn(tmp_path: Path) -> None:
    life = Life(np.array([0, 3, 7]), np.array([0, 1, 2]))
    write_plots(tmp_path, {rule.name: life for rule in RULES}, RULES, rounds=50, seed=1)
    for name in ("gate-loops", "gate-power", "gate-guard"):
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")
