"""The ledger's rule: what is undone is counted and named, and only a promotion can be taken back by it."""

from typing import Any

import pytest
from wheelwork.core.evaluation.gate import Decision, GateSettings
from wheelwork.core.ledger.entries import Entry, Held
from wheelwork.core.ledger.judging import LedgerRuling, fewest_to_clear, judge_ledger, with_ledger
from wheelwork.core.ledger.settings import LedgerSettings
from wheelwork.tests.core.ledger.rows import an_entry, entries

GATE = GateSettings(resamples=500)
Right = set[int]


def held(items: list[Entry], once: Right | None = None) -> list[Held]:
    return [Held(entry=entry, once_right=entry.held_out or at in (once or set())) for at, entry in enumerate(items)]


def judge(
    items: list[Held], champion: Right | None, candidate: Right, base: Right | None = None, **settings: Any
) -> LedgerRuling:
    def scores(right: Right) -> dict[str, float | None]:
        return {one.entry.id: float(at in right) for at, one in enumerate(items)}

    columns = {"base": scores(base or set()), "candidate": scores(candidate)}
    columns |= {} if champion is None else {"champion": scores(champion)}
    ruling = judge_ledger(items, "d", columns, LedgerSettings(**settings), GATE, seed=0)
    assert ruling is not None
    return ruling


def everything(count: int) -> Right:
    return set(range(count))


def test_one_undone_correction_of_a_few_fails_and_is_named() -> None:
    items = held([*entries(3), an_entry("Is my modem\nbroken?", "line", by="ann")])
    ruling = judge(items, champion=everything(4), candidate=everything(3))
    assert ruling.figures.outcome == "fail"
    assert ruling.figures.sentence == (
        "ledger: 3 of 4 corrections of people are right still, at most 0 may be wrong; "
        f"undone: {items[3].entry.id} “Is my modem broken?”"
    )
    (undone,) = ruling.undone
    assert (undone.question, undone.right, undone.origin) == ("Is my modem\nbroken?", "line", "review")
    assert (ruling.figures.n, ruling.figures.losses, ruling.figures.champion) == (4, 1, 1.0)


def test_within_the_margin_it_passes_and_still_speaks() -> None:
    ruling = judge(held(entries(30)), champion=everything(30), candidate=everything(27))
    assert ruling.figures.outcome == "pass" and ruling.speaks
    assert "27 of 30" in ruling.figures.sentence and ruling.figures.sentence.count("question 2") == 3
    assert judge(held(entries(30)), everything(30), everything(26)).figures.outcome == "fail"


def test_nothing_undone_is_silent_and_what_is_newly_right_is_a_win() -> None:
    ruling = judge(held(entries(4)), champion={0, 1}, candidate={0, 1, 2})
    assert (ruling.figures.outcome, ruling.speaks, ruling.undone) == ("pass", False, ())
    assert (ruling.figures.wins, ruling.figures.losses, ruling.figures.delta) == (1, 0, 0.25)


def test_what_was_never_right_cannot_be_undone() -> None:
    ruling = judge(held(entries(3)), champion=set(), candidate=set())
    assert ruling.figures.outcome == "pass" and "nothing to undo" in ruling.figures.sentence


def test_earlier_champions_count_so_that_rounds_do_not_wear_it_down_bit_by_bit() -> None:
    items = held(entries(20), once=everything(20))
    worn = everything(20) - {0, 1}  # the present champion may have undone two
    assert judge(items, champion=worn, candidate=worn - {2}).figures.outcome == "fail"
    same = judge(items, champion=worn, candidate=worn)
    assert same.figures.outcome == "pass" and all(one.by_champion for one in same.undone)


def test_a_candidate_that_undoes_no_more_than_the_champion_is_not_held_back() -> None:
    items = held(entries(10), once=everything(10))
    assert judge(items, champion={0, 1, 2}, candidate={0, 1, 2}).figures.outcome == "pass"
    assert judge(items, champion={0, 1, 2}, candidate={0, 1}).figures.outcome == "fail"


@pytest.mark.parametrize(("undone", "outcome"), [(1, "pass"), (5, "pass"), (6, "fail")])
def test_of_what_rounds_fixed_half_may_be_luck(undone: int, outcome: str) -> None:
    items = held(entries(10, "round"))
    assert judge(items, everything(10), everything(10 - undone)).figures.outcome == outcome


def test_a_single_fixed_item_that_is_undone_fails() -> None:
    assert judge(held(entries(1, "round")), {0}, set()).figures.outcome == "fail"


def test_both_kinds_are_held_to_their_own_margin() -> None:
    items = held([*entries(4), *entries(4, "round", start=50)])
    ruling = judge(items, everything(8), everything(8) - {6, 7})
    assert ruling.figures.outcome == "pass"
    assert "4 of 4 corrections of people" in ruling.figures.sentence
    assert "2 of 4 items that rounds fixed" in ruling.figures.sentence
    assert judge(items, everything(8), everything(8) - {0}).figures.outcome == "fail"


def test_retired_items_are_not_judged() -> None:
    items = held(entries(2))
    retired = [items[0], items[1].model_copy(update={"active": False})]
    assert judge(retired, {0, 1}, {0}).figures.outcome == "pass"
    scores: dict[str, dict[str, float | None]] = {"base": {}, "candidate": {}}
    assert judge_ledger([retired[1]], "d", scores, LedgerSettings(), GATE, 0) is None


def test_without_a_champion_the_base_is_what_must_be_kept() -> None:
    assert judge(held(entries(2)), champion=None, candidate={1}, base={0, 1}).figures.outcome == "fail"


def test_unscored_is_neither_right_nor_undone_and_too_much_of_it_is_unclear() -> None:
    items = held(entries(5))
    known: dict[str, float | None] = {one.entry.id: 1.0 for one in items}
    columns = {"base": known, "champion": known, "candidate": known | {items[0].entry.id: None}}
    ruling = judge_ledger(items, "d", columns, LedgerSettings(), GATE, 0)
    assert ruling is not None
    assert (ruling.figures.outcome, ruling.figures.n, ruling.figures.unscored, ruling.undone) == ("unclear", 4, 1, ())
    assert "1 items are unscored" in ruling.figures.sentence


def test_a_graded_answer_is_right_from_the_score_that_the_loop_says() -> None:
    (one,) = items = held(entries(1))
    columns: dict[str, dict[str, float | None]] = {
        "base": {one.entry.id: 0.0}, "champion": {one.entry.id: 0.7}, "candidate": {one.entry.id: 0.6}
    }  # fmt: skip
    strict = judge_ledger(items, "d", columns, LedgerSettings(), GATE, 0)
    loose = judge_ledger(items, "d", columns, LedgerSettings(right_from=0.65), GATE, 0)
    assert strict and loose and (strict.figures.outcome, loose.figures.outcome) == ("pass", "fail")


def test_a_bound_asks_for_more_than_a_count_once_there_are_enough() -> None:
    assert fewest_to_clear(0.1, 0.05) == 25 and fewest_to_clear(0.0, 0.05) == float("inf")
    few, many = held(entries(24)), held(entries(30))
    assert judge(few, everything(24), everything(23), judge="bound").figures.outcome == "pass"
    ruling = judge(many, everything(30), everything(29), judge="bound")
    assert ruling.figures.outcome == "unclear"
    assert "of questions like them up to 0.14 may be wrong, 0.1 is tolerated" in ruling.figures.sentence
    assert judge(many, everything(30), everything(30), judge="bound").figures.outcome == "pass"
    assert judge(held(entries(100)), everything(100), everything(98), judge="bound").figures.outcome == "pass"


# with the gate


def decision(verdict: str) -> Decision:
    return Decision.model_validate(
        {"verdict": verdict, "reasons": ["holdout: …"], "figures": {}, "alpha": 0.025, "look": 1}
    )


FAILS = judge(held(entries(2)), {0, 1}, {0})
PASSES = judge(held(entries(2)), {0, 1}, {0, 1})
PASSES_WITH_LOSS = judge(held(entries(20)), everything(20), everything(19))


@pytest.mark.parametrize(
    ("before", "ruling", "after", "reasons"),
    [
        ("promoted", FAILS, "rejected", [FAILS]),
        ("inconclusive", FAILS, "rejected", [FAILS]),
        ("rejected", FAILS, "rejected", ["holdout: …", FAILS]),
        ("promoted", PASSES, "promoted", ["holdout: …"]),
        ("promoted", PASSES_WITH_LOSS, "promoted", ["holdout: …", PASSES_WITH_LOSS]),
        ("rejected", PASSES, "rejected", ["holdout: …"]),
        ("promoted", None, "promoted", ["holdout: …"]),
    ],
)
def test_the_ledger_can_only_take_a_promotion_back(
    before: str, ruling: LedgerRuling | None, after: str, reasons: list[Any]
) -> None:
    judged = with_ledger(decision(before), ruling)
    assert judged.verdict == after
    told = [one if isinstance(one, str) else one.figures.sentence for one in reasons]
    assert list(judged.reasons) == told
    assert ("ledger" in judged.figures) == (ruling is not None)


@pytest.mark.parametrize("given", [False, "off"])
def test_off_alone_switches_it_off(given: Any) -> None:
    assert LedgerSettings.model_validate(given).off and not LedgerSettings.model_validate({}).off
