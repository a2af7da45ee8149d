"""Pairs of answers in both orders: a verdict that hangs on the place is a tie."""

import json
from collections.abc import Callable

import pytest
from wheelwork.core.errors import TeacherError
from wheelwork.core.quality.review.compare import Comparison, Pair, Preference, compare
from wheelwork.core.samples import Message
from wheelwork.tests.core.quality.review.panel import Rule, chats, panel, said

ASKED = (Message(role="system", content="Be brief."), Message(role="user", content="How long?"))
CHANGED = Preference("tie", "the verdict changed with the order of the answers")


def verdict(better: str) -> str:
    return json.dumps({"reason": "it is right", "better": better})


def answers(text: str) -> tuple[str, str]:
    """What is shown as A and as B."""
    first, second = (text.split(f"<answer_{name}>\n")[1].split("\n</answer")[0] for name in "AB")
    return first, second


def judge(pick: Callable[[str, str], str]) -> Rule:
    return lambda text: verdict(pick(*answers(text)))


LONGER = judge(lambda a, b: "A" if len(a) > len(b) else "B" if len(b) > len(a) else "neither")
SHORTER = judge(lambda a, b: "A" if len(a) < len(b) else "B" if len(b) < len(a) else "neither")
ALWAYS_A = judge(lambda a, b: "A")
SILENT: Rule = lambda text: TeacherError("no answer")  # noqa: E731


def compared(*rules: Rule, pairs: tuple[tuple[str, str], ...] = (("three months", "one"),)) -> Comparison:
    with panel("judge", *rules) as review:
        return compare([Pair(ASKED, *pair) for pair in pairs], review)


def test_each_pair_is_asked_in_both_orders_with_all_that_stands_before() -> None:
    with panel("judge", LONGER) as review:
        compare([Pair(ASKED, "three months", "one")], review)
        texts = [said(request) for request in chats(review, "judge")[0].asked]
    assert [answers(text) for text in texts] == [("three months", "one"), ("one", "three months")]
    assert all("Be brief." in text and "How long?" in text for text in texts)


def test_the_better_one_is_found_wherever_it_stands() -> None:
    told = compared(LONGER, pairs=(("three months", "one"), ("one", "three months"), ("one", "two")))
    assert [one.winner for one in told.preferences] == ["first", "second", "tie"]
    assert told.preferences[0].reason == "it is right" and told.steady == 1


def test_a_judge_that_looks_at_the_place_has_a_tie() -> None:
    told = compared(ALWAYS_A)
    assert (told.preferences, told.steady) == ((CHANGED,), 0)


def test_over_several_judges_the_commoner_winner_counts() -> None:
    assert compared(LONGER, LONGER, SHORTER).preferences[0].winner == "first"
    assert compared(LONGER, SHORTER, SHORTER).preferences[0].winner == "second"
    assert compared(LONGER, ALWAYS_A, ALWAYS_A) == Comparison((Preference("first", "it is right"),), 1 / 3)
    assert compared(LONGER, SHORTER).preferences[0] == Preference("tie", "the judges are divided")


def test_a_pair_without_enough_verdicts_is_unscored_and_no_tie() -> None:
    assert compared(SILENT) == Comparison((Preference(None, "no_reply"),), None)
    assert compared(LONGER, SILENT).preferences[0].winner is None
    assert compared(LONGER, LONGER, SILENT).preferences[0].winner == "first"
    half: Rule = lambda text: verdict("A") if answers(text)[0] == "one" else "I like both"  # noqa: E731
    assert compared(half).preferences[0] == Preference(None, "unreadable")


@pytest.mark.parametrize("word", ["A", "a", "**A**", " A. "])
def test_the_name_of_the_better_one_may_be_dressed_up(word: str) -> None:
    told = compared(judge(lambda a, b: word if a == "one" else "B"))
    assert told.preferences[0].winner == "second"


def test_no_pairs_have_no_preferences() -> None:
    assert compared(LONGER, pairs=()) == Comparison((), None)
