"""Several targets of which one is enough, a floor for what is served, and scores that are not of one suite."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as some
from pydantic import ValidationError
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.evaluation.gate import Decision, GateSettings, decide
from wheelwork.core.evaluation.scores import SuiteScores
from wheelwork.core.evaluation.statistics import holm_levels, mcnemar_from_counts

ANY = GateSettings(resamples=200, targets="any", target_margin=0.05)
ALL = GateSettings(resamples=200)


def target(name: str, both: int, losses: int, wins: int, neither: int) -> SuiteScores:
    reference = (1.0,) * (both + losses) + (0.0,) * (wins + neither)
    candidate = (1.0,) * both + (0.0,) * losses + (1.0,) * wins + (0.0,) * neither
    ids = tuple(f"item {i}" for i in range(len(reference)))
    return SuiteScores(name, "target", "d1", ids, ids, reference, None, candidate)


def judge(*suites: SuiteScores, settings: GateSettings = ANY, look: int = 1) -> Decision:
    return decide(suites, settings, look, seed=5)


BETTER = target("better", 60, 2, 30, 108)
SAME = target("same", 100, 0, 0, 100)
WORSE = target("worse", 80, 20, 0, 100)  # lost 0.1
FEW = target("few", 10, 2, 2, 16)  # may have lost more than the margin
HOPEFUL = target("hopeful", 60, 2, 7, 131)  # p = 0.09


def outcomes(decision: Decision) -> dict[str, str]:
    return {name: one.outcome for name, one in decision.figures.items()}


def test_one_target_that_gets_better_is_enough_where_the_other_keeps_what_it_has() -> None:
    assert judge(BETTER, SAME, settings=ALL).verdict == "rejected"
    decision = judge(BETTER, SAME)
    assert decision.verdict == "promoted"
    same = decision.figures["same"]
    assert (same.outcome, same.margin, same.p_value) == ("pass", 0.05, 1.0)
    assert same.damage_bound is not None and same.damage_bound < 0.05
    assert same.sentence.endswith("no gain is shown (p = 1 against 0.025), damage against base at most 0.013 < 0.05")


@pytest.mark.parametrize(
    ("others", "verdict"),
    [([WORSE], "rejected"), ([FEW], "inconclusive"), ([SAME, WORSE], "rejected"), ([SAME, FEW], "inconclusive")],
)
def test_no_other_target_may_get_worse(others: list[SuiteScores], verdict: str) -> None:
    assert judge(BETTER, *others).verdict == verdict


def test_as_long_as_none_got_better_the_hopeful_one_decides() -> None:
    decision = judge(HOPEFUL, SAME)
    assert decision.verdict == "inconclusive"
    assert outcomes(decision) == {"hopeful": "unclear", "same": "pass"}
    assert "too few items to tell: a true gain" in decision.reasons[0]
    assert outcomes(judge(HOPEFUL, WORSE)) == {"hopeful": "unclear", "worse": "fail"}
    assert judge(HOPEFUL, WORSE).verdict == "rejected"


def test_where_none_has_the_looks_of_it_all_fail() -> None:
    decision = judge(SAME, replace(WORSE, name="other"))
    assert decision.verdict == "rejected"
    assert [line.rsplit(", ", 1)[1] for line in decision.reasons] == ["no item changed", "which is not better"]


def test_several_chances_are_paid_for() -> None:
    close = target("close", 60, 0, 6, 134)  # p = 1/64 = 0.0156
    assert judge(close).verdict == "promoted"
    decision = judge(close, SAME)
    assert decision.verdict == "inconclusive"
    assert decision.figures["close"].alpha == 0.0125
    both = judge(BETTER, close)  # the second is held to all that is left
    assert both.verdict == "promoted"
    assert (both.figures["better"].alpha, both.figures["close"].alpha) == (0.0125, 0.025)


def test_a_target_with_too_few_items_is_no_reason_to_promote() -> None:
    tiny = target("tiny", 0, 0, 12, 0)
    assert outcomes(judge(tiny, SAME)) == {"tiny": "unclear", "same": "pass"}
    assert judge(tiny, BETTER).verdict == "inconclusive"


def test_the_base_is_held_to_as_well() -> None:
    champion = (1.0,) * 90 + (0.0,) * 110
    eroded = replace(SAME, base=(1.0,) * 100 + (0.0,) * 100, champion=champion, candidate=champion)
    decision = judge(BETTER, eroded)
    assert decision.verdict == "rejected"
    assert "damage against base is 0.05 ≥ 0.05" in decision.reasons[0]


def test_a_single_target_is_judged_as_ever() -> None:
    for suite in (BETTER, SAME, WORSE, HOPEFUL):
        one, other = judge(suite), judge(suite, settings=ALL)
        assert (one.verdict, one.reasons) == (other.verdict, other.reasons)


@pytest.mark.parametrize(
    "wrong",
    [{"targets": "any"}, {"target_margin": 0.1}, {"targets": "any", "target_margin": 0}, {"targets": "some"}],
)
def test_a_margin_belongs_to_any(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GateSettings.model_validate(wrong)


def test_a_margin_that_excludes_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"target suite `better` has the margin 1\.0; set one between 0 and 1"):
        judge(BETTER, settings=GateSettings(targets="any", target_margin=1.0))


p_values = some.lists(some.floats(0, 1), min_size=1, max_size=8)


@given(p_values, some.floats(0.001, 0.4))
def test_holm_rejects_what_its_adjusted_p_values_say(found: list[float], alpha: float) -> None:
    levels = holm_levels(found, alpha)
    order = sorted(range(len(found)), key=lambda index: found[index])
    reached = 0.0
    for place, index in enumerate(order):  # the textbook form: adjusted p-values, made monotonous
        reached = max(reached, (len(found) - place) * found[index])
        if abs(reached - alpha) > 1e-9:
            assert (found[index] <= levels[index]) == (reached <= alpha)
        assert alpha / len(found) <= levels[index] <= alpha


@given(p_values, some.randoms(use_true_random=False))
def test_holm_knows_no_order(found: list[float], random) -> None:  # type: ignore[no-untyped-def]
    places = list(range(len(found)))
    random.shuffle(places)
    levels = holm_levels(found, 0.05)
    shuffled = holm_levels([found[place] for place in places], 0.05)
    for place, level in zip(places, shuffled, strict=True):
        assert (found[place] <= levels[place]) == (found[place] <= level)


def test_three_chances_of_nothing_are_promoted_at_most_alpha_of_the_time() -> None:
    random = np.random.default_rng(4)
    _, lost, won, _ = np.moveaxis(random.multinomial(200, [0.65, 0.1, 0.1, 0.15], size=(4_000, 3)), -1, 0)
    found = mcnemar_from_counts(won, lost)
    promoted = [any(p <= level for p, level in zip(row, holm_levels(list(row), 0.05), strict=True)) for row in found]
    assert 0.01 < np.mean(promoted) <= 0.05
    assert (found <= 0.05).any(axis=1).mean() > 0.07


def test_what_beats_the_champion_may_still_be_too_bad_to_be_served() -> None:
    suite = replace(BETTER, floor=0.5)
    decision = judge(suite, settings=ALL)
    assert decision.verdict == "rejected"
    assert decision.reasons[0].endswith("which is below the floor: 0.45 < 0.5")
    assert decision.figures["better"].floor == 0.5
    assert judge(replace(BETTER, floor=0.45), settings=ALL).verdict == "promoted"


def test_the_floor_holds_for_every_target() -> None:
    decision = judge(BETTER, replace(SAME, floor=0.6))
    assert decision.verdict == "rejected"
    assert "`same`" not in decision.reasons[0] and decision.reasons[0].startswith("same: ")
    assert decision.reasons[0].endswith("which is below the floor: 0.5 < 0.6")


def test_too_few_items_are_no_ground_for_a_floor_either() -> None:
    decision = judge(replace(target("tiny", 0, 0, 2, 10), floor=0.9), settings=ALL)
    assert decision.verdict == "inconclusive"


def test_scores_of_another_suite_are_refused() -> None:
    digests = {"base": "d1", "candidate": "d2"}
    with pytest.raises(DataError, match=r"`better`: the scores of candidate were taken with `d2`, which is not `d1`"):
        judge(replace(BETTER, digests=digests))
    assert judge(replace(BETTER, digests=dict.fromkeys(digests, "d1"))).verdict == "promoted"


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DataError, match="200 items but 3 slices"):
        judge(replace(BETTER, slices=("a", "b", "c")))
    with pytest.raises(DataError, match="neither base nor champion"):
        judge(replace(BETTER, base=None))
    with pytest.raises(DataError, match=r"base score 1e\+300, which is beyond 1e\+100"):
        judge(replace(BETTER, base=(1e300, *BETTER.candidate[1:])))
    with pytest.raises(ConfigError, match="has a floor, which is for targets"):
        judge(BETTER, replace(SAME, role="guard", margin=0.1, floor=0.2), settings=ALL)
    with pytest.raises(ConfigError, match="the floor nan"):
        judge(replace(BETTER, floor=float("nan")))


def test_a_base_is_not_needed_beside_a_champion() -> None:
    suite = replace(BETTER, base=None, champion=BETTER.base)
    guard = replace(SAME, role="guard", margin=0.1, base=None, champion=SAME.base)
    decision = judge(suite, guard, settings=ALL)
    assert decision.verdict == "promoted"
    assert decision.figures["better"].base is None
    assert "damage against champion" in decision.reasons[1]


kinds = some.tuples(some.integers(0, 30), some.integers(0, 12), some.integers(0, 12), some.integers(0, 30))


@effort(max_examples=30)
@given(some.lists(kinds, min_size=1, max_size=3), some.integers(1, 4))
def test_any_promotes_only_where_one_is_better_and_none_is_much_worse(
    tables: list[tuple[int, int, int, int]], look: int
) -> None:
    suites = [target(f"suite {i}", *(3 * count for count in table)) for i, table in enumerate(tables) if any(table)]
    if not suites:
        return
    decision = judge(*suites, look=look)
    figures = decision.figures.values()
    if decision.verdict == "promoted":
        assert any(one.p_value <= one.alpha and one.delta is not None and one.delta > 0 for one in figures)
        assert all(one.delta is not None and one.delta > -0.05 for one in figures)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
