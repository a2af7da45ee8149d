"""The verdicts, and the sentences that give them."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.evaluation.gate import Decision, GateSettings
from wheelwork.tests.core.evaluation.gate_parts import GATE, column, counted, guard, judge, target

BETTER = target(*counted(40, 0, 30, 30))
SAME = counted(100, 0, 0, 100)


def test_a_clear_gain_is_promoted_in_a_plain_sentence() -> None:
    decision = judge(target(*counted(44, 0, 273, 47)), settings=GateSettings())
    assert decision.verdict == "promoted"
    assert decision.reasons == (
        "holdout: 0.87 against 0.12 (base) on 364 items, +0.75 [0.71, 0.79], p = 6.6e-83 ≤ 0.025",
    )
    figures = decision.figures["holdout"]
    assert (figures.role, figures.digest, figures.n, figures.unscored) == ("target", "d1", 364, 0)
    assert (figures.wins, figures.losses, figures.outcome, figures.needed) == (273, 0, "pass", None)
    assert (figures.base, figures.champion, figures.candidate) == (44 / 364, None, 317 / 364)
    assert figures.delta == 0.75
    assert figures.ci == pytest.approx((0.705, 0.793), abs=0.01)
    assert figures.p_value == 2.0**-273
    assert figures.alpha == decision.alpha == 0.025
    assert 0 < figures.min_detectable < 0.2


def test_the_champion_is_what_must_be_beaten() -> None:
    base, candidate = counted(40, 0, 30, 30)
    decision = judge(target(base, candidate, champion=candidate))
    assert decision.verdict == "rejected"
    assert "0.70 against 0.70 (champion)" in decision.reasons[0]
    assert decision.figures["holdout"].base == 0.4


def test_no_change_at_all_is_rejected() -> None:
    decision = judge(target(*SAME))
    assert decision.verdict == "rejected"
    assert decision.reasons[0].endswith("+0.00 [0.00, 0.00], no item changed")


@pytest.mark.parametrize(("losses", "wins"), [(5, 5), (30, 4)])
def test_no_gain_is_rejected(losses: int, wins: int) -> None:
    decision = judge(target(*counted(40, losses, wins, 40)))
    assert decision.verdict == "rejected"
    assert decision.reasons[0].endswith("which is not better")


@pytest.mark.parametrize(("losses", "wins"), [(0, 5), (10, 20), (3, 9), (40, 47)])
def test_a_gain_that_could_be_chance_is_inconclusive_until_the_named_number_of_items(losses: int, wins: int) -> None:
    decision = judge(target(*counted(60, losses, wins, 40)))
    figures = decision.figures["holdout"]
    assert decision.verdict == "inconclusive"
    assert figures.p_value > figures.alpha
    assert figures.needed is not None and figures.needed > figures.n
    assert f"about {figures.needed:,}" in decision.reasons[0]
    times = -(-figures.needed // figures.n)
    grown = judge(target(*counted(60 * times, losses * times, wins * times, 40 * times)))
    assert grown.verdict == "promoted"


def test_later_looks_ask_for_more() -> None:
    suite = target(*counted(60, 2, 13, 25))  # p = 0.0037
    assert [judge(suite, look=look).verdict for look in (1, 3, 4)] == ["promoted", "promoted", "inconclusive"]


def test_the_shown_p_value_is_never_the_same_text_as_the_alpha_it_misses() -> None:
    suite = target(*counted(60, 2, 13, 25))
    alpha = judge(suite).figures["holdout"].p_value * 2 * (1 - 1e-6)
    sentence = judge(suite, settings=GateSettings(alpha=alpha)).reasons[0]
    shown = re.search(r"p = (\S+) > (\S+),", sentence)
    assert shown is not None and float(shown[1]) > float(shown[2])


def test_a_small_difference_is_not_shown_as_none() -> None:
    sentence = judge(target(*counted(1000, 0, 1, 0))).reasons[0]
    assert "1.0000 against 0.9990" in sentence and "+0.0010" in sentence


def test_graded_scores_are_judged_by_permutation() -> None:
    random = np.random.default_rng(3)
    base = random.uniform(1, 5, 80)
    better, noise = base + random.normal(0.3, 0.5, 80), base + random.normal(0.0, 0.5, 80) - 0.01
    good = judge(target(tuple(base), tuple(better)), settings=GateSettings())
    assert good.verdict == "promoted"
    assert good.figures["holdout"].p_value == 1 / 10_001
    assert judge(target(tuple(base), tuple(noise))).verdict != "promoted"


def test_graded_scores_can_still_pass_at_a_late_look() -> None:
    base = tuple(np.linspace(0.1, 0.5, 60))
    decision = judge(target(base, tuple(score + 0.3 for score in base)), look=40)  # α = 3e-5, below 1 / 501
    assert decision.verdict == "promoted"


def test_items_of_one_source_are_no_independent_evidence() -> None:
    gained = {item for item, *scores in zip(BETTER.ids, BETTER.base, BETTER.candidate, strict=True) if scores == [0, 1]}
    decision = judge(replace(BETTER, groups=tuple("one page" if item in gained else item for item in BETTER.ids)))
    assert decision.verdict == "inconclusive"
    assert decision.figures["holdout"].p_value > 0.4


def test_a_guard_without_damage_lets_pass() -> None:
    decision = judge(BETTER, guard(*SAME))
    assert decision.verdict == "promoted"
    assert decision.reasons[1] == (
        "retention: 0.50 against 0.50 (base) on 200 items, +0.00 [0.00, 0.00], damage against base at most 0.013 < 0.1"
    )
    figures = decision.figures["retention"]
    assert figures.alpha == GATE.guard_alpha
    assert figures.damage_bound == pytest.approx(0.01335, abs=1e-4)
    assert figures.p_value < 0.05


def test_damage_of_the_margin_rejects_whatever_the_gain() -> None:
    decision = judge(BETTER, guard(*counted(60, 10, 0, 30)))
    assert decision.verdict == "rejected"
    assert decision.reasons == (decision.figures["retention"].sentence,)
    assert decision.reasons[0].endswith("damage against base is 0.1 ≥ 0.1")


@pytest.mark.parametrize(("losses", "wins"), [(4, 0), (7, 2), (12, 4)])
def test_damage_that_could_be_too_large_is_inconclusive_until_the_named_number(losses: int, wins: int) -> None:
    decision = judge(BETTER, guard(*counted(40, losses, wins, 40)))
    figures = decision.figures["retention"]
    assert decision.verdict == "inconclusive"
    assert figures.damage_bound is not None and figures.damage_bound >= 0.1 and figures.p_value >= 0.05
    assert figures.needed is not None and f"about {figures.needed:,} are needed" in decision.reasons[0]
    times = -(-figures.needed // figures.n)
    assert judge(BETTER, guard(*counted(40 * times, losses * times, wins * times, 40 * times))).verdict == "promoted"


def test_many_small_losses_cannot_add_up_over_the_rounds() -> None:
    base = column((1, 400))
    champion = column((0, 30), (1, 370))
    candidate = column((0, 45), (1, 355))  # 0.0375 below the champion, 0.1125 below the base
    assert judge(BETTER, guard(champion, candidate)).verdict == "promoted"
    decision = judge(BETTER, guard(base, candidate, champion))
    assert decision.verdict == "rejected"
    assert decision.reasons[0].endswith("damage against base is 0.11 ≥ 0.1")


def test_a_guard_also_holds_what_the_champion_had_gained() -> None:
    base, champion, candidate = column((0, 200)), column((1, 100), (0, 100)), column((0, 200))
    decision = judge(BETTER, guard(base, candidate, champion))
    assert decision.verdict == "rejected"
    assert "damage against champion is 0.5" in decision.reasons[0]


def test_a_graded_guard_is_bounded_by_the_bootstrap() -> None:
    random = np.random.default_rng(4)
    base = random.uniform(1, 5, 300)
    slightly, badly = base - random.normal(0.05, 0.3, 300), base - random.normal(0.3, 0.3, 300)
    unsure = base - random.normal(0.17, 1.0, 300)
    verdicts = [
        judge(BETTER, guard(tuple(base), tuple(scores), margin=0.2)).verdict for scores in (slightly, badly, unsure)
    ]
    assert verdicts == ["promoted", "rejected", "inconclusive"]


def test_a_graded_margin_may_exceed_one() -> None:
    base = column((1, 50), (5, 50))
    assert judge(BETTER, guard(base, base, margin=1.5)).verdict == "promoted"
    assert judge(BETTER, guard(base, column((1, 50), (1, 50)), margin=1.5)).verdict == "rejected"


def test_a_failing_suite_outweighs_an_unclear_one() -> None:
    unclear = target(*counted(60, 0, 3, 40), name="small gain")
    assert judge(unclear, BETTER).verdict == "inconclusive"
    assert judge(unclear, BETTER, guard(*counted(60, 30, 0, 10))).verdict == "rejected"


def test_every_target_must_pass() -> None:
    worse = target(*counted(40, 30, 0, 30), name="second")
    assert judge(BETTER, worse).verdict == "rejected"
    assert judge(BETTER, replace(BETTER, name="second")).verdict == "promoted"


def test_an_unscored_item_is_left_out_and_counted() -> None:
    base, candidate = counted(40, 0, 30, 30)
    decision = judge(target((*base, None, 1, None), (*candidate, 1, None, None)))
    figures = decision.figures["holdout"]
    assert decision.verdict == "promoted"
    assert (figures.n, figures.unscored, figures.base, figures.candidate) == (100, 3, 0.4, 0.7)
    assert "on 100 items (3 more unscored)" in figures.sentence


def test_a_base_that_is_only_shown_costs_no_pair() -> None:
    champion, candidate = counted(40, 0, 30, 30)
    figures = judge(target(column((None, 50), (1, 50)), candidate, champion)).figures["holdout"]
    assert (figures.n, figures.unscored, figures.base) == (100, 0, 1.0)


@pytest.mark.parametrize(("unscored", "verdict"), [(11, "promoted"), (12, "inconclusive")])
def test_more_than_a_tenth_unscored_is_inconclusive(unscored: int, verdict: str) -> None:
    base, candidate = counted(40, 0, 30, 30)
    decision = judge(target((*base, *column((1, unscored))), (*candidate, *column((None, unscored)))))
    assert decision.verdict == verdict  # 11 of 111 are 9.9%, 12 of 112 are 10.7%


def test_a_suite_without_any_score_is_inconclusive_and_has_no_figures() -> None:
    decision = judge(target(column((None, 30)), column((1, 30))))
    figures = decision.figures["holdout"]
    assert decision.verdict == "inconclusive"
    assert decision.reasons == ("holdout: none of 30 items was scored on both sides",)
    assert (figures.n, figures.unscored, figures.needed) == (0, 30, GATE.min_items)
    assert figures.candidate is figures.delta is figures.ci is None


@pytest.mark.parametrize(("wins", "verdict"), [(19, "inconclusive"), (20, "promoted")])
def test_fewer_than_twenty_items_say_nothing(wins: int, verdict: str) -> None:
    decision = judge(target(*counted(0, 0, wins, 0)))
    assert decision.verdict == verdict
    if verdict == "inconclusive":
        assert decision.reasons[0].endswith("19 items are too few to tell: at least 20 are needed")
        assert decision.figures["holdout"].needed == 20


def test_many_items_of_few_sources_say_nothing() -> None:
    decision = judge(replace(BETTER, groups=tuple(f"page {i % 10}" for i in range(100))))
    assert decision.verdict == "inconclusive"
    assert "items of 10 sources are too few" in decision.reasons[0]
    assert decision.figures["holdout"].needed == 200


def test_the_decision_is_pure_and_survives_json() -> None:
    suites = (target(tuple(np.linspace(0, 1, 40)), tuple(np.linspace(0.1, 1, 40))), guard(*SAME))
    decision = judge(*suites)
    assert decision == judge(*suites)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


REFUSALS: list[tuple[Callable[[], Decision], type[Exception], str]] = [
    (lambda: judge(), ConfigError, "no suite has the role `target`"),
    (lambda: judge(guard(*SAME)), ConfigError, "no suite has the role `target`"),
    (lambda: judge(BETTER, BETTER), ConfigError, "two suites are named `holdout`"),
    (lambda: judge(BETTER, look=0), ConfigError, "counted from 1, not 0"),
    (lambda: judge(BETTER, guard(*SAME, margin=0.0)), ConfigError, "`retention` has the margin 0.0"),
    (lambda: judge(BETTER, guard(*SAME, margin=1.0)), ConfigError, "between 0 and 1"),
    (lambda: judge(BETTER, guard(*SAME, margin=float("nan"))), ConfigError, "the margin nan"),
    (lambda: judge(target((), ())), DataError, "`holdout` has no items"),
    (lambda: judge(target((1, 1), (1,))), DataError, "2 items but 1 scores of candidate"),
    (lambda: judge(target((1, 1), (1, 1), (1,))), DataError, "2 items but 1 scores of champion"),
    (lambda: judge(replace(BETTER, base=())), DataError, "100 items but 0 scores of base"),
    (lambda: judge(replace(BETTER, groups=("a",))), DataError, "100 items but 1 groups"),
    (lambda: judge(replace(BETTER, ids=(*BETTER.ids[:-1], "item 7"))), DataError, "the id `item 7` more than once"),
    (lambda: judge(target((1, 0), (1, float("nan")))), DataError, "item `item 1` has the candidate score nan"),
    (lambda: judge(target((1, float("inf")), (1, 1))), DataError, "item `item 1` has the base score inf"),
]


@pytest.mark.parametrize(("slip", "error", "words"), REFUSALS)
def test_what_cannot_be_judged_is_refused_in_one_sentence(
    slip: Callable[[], Decision], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        slip()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"alpha": 0.5}, {"power": 1}, {"min_items": 1}, {"alhpa": 0.1}])
def test_settings_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        GateSettings.model_validate(wrong)
