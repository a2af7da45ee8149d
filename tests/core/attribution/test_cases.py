"""What a reply is: a known label, or which rule it broke; and which items failed."""

import pytest
from wheelwork.core.attribution.cases import Known, broken_rule, cases_of, seems_cut
from wheelwork.core.errors import DataError
from wheelwork.core.evaluation.scorers import AnswerF1, ExactLabel
from wheelwork.tests.core.attribution.material import LABELS, item, suite_of, table

KNOWN = Known(ExactLabel(), LABELS)


@pytest.mark.parametrize(
    ("reply", "rule"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("It is billing, or speed.", "several_labels"),
        ("The label is billing.", "not_alone"),
        ("I am not sure.", "no_label"),
        ("well that is a hard one to tell really", "cut_off"),
    ],
)
def test_the_first_rule_that_is_broken_is_told(reply: str, rule: str) -> None:
    assert broken_rule(reply, ("billing",), KNOWN, max_tokens=8) == rule


def test_json_is_asked_for_where_the_right_answer_is_json() -> None:
    assert broken_rule("name: Ann", ('{"name": "Ann"}',), None, 24) == "not_json"
    assert broken_rule('{"name": "Ann", "age": "thirty", "town', ('{"name": "Ann"}',), None, 12) == "cut_off"
    assert broken_rule('{"name": "Bob"}', ('{"name": "Ann"}',), None, 24) is None, "in form, and wrong"


def test_a_label_within_another_one_is_not_two_labels() -> None:
    known = Known(ExactLabel(), ("card", "lost card"))
    assert known.named("your lost card is blocked") == ["lost card"]
    assert sorted(known.named("a card, or a lost card; the card")) == ["lost card"]


def test_a_long_reply_that_ends_is_not_cut() -> None:
    assert seems_cut("one two three four five", 6) and not seems_cut("one two three four five.", 6)
    assert not seems_cut("one two", 6)


def test_cases_know_what_was_answered_and_who_was_right_before() -> None:
    suite = suite_of([item("a", "billing"), item("b", "speed"), item("c", "speed")])
    tables = {
        "base": table(suite, ["Billing.", "nothing", "speed"]),
        "champion": table(suite, ["billing", "speed", "speed"]),
        "candidate": table(suite, ["speed", "offline", "speed"]),
    }
    cases, unscored = cases_of(suite, tables, LABELS, right=0.5)
    assert [case.failed for case in cases] == [True, True, False] and unscored == 0
    assert [case.answered for case in cases] == ["speed", "offline", None]
    assert [set(case.known_by) for case in cases] == [{"champion", "base"}, {"champion"}, set()]


def test_an_unscored_item_is_left_out_and_counted() -> None:
    suite = suite_of([item("a", "billing"), item("b", "speed")])
    rows = table(suite, ["billing", "billing"])
    rows[0]["score"] = None
    cases, unscored = cases_of(suite, {"candidate": rows}, LABELS, right=0.5)
    assert [case.id for case in cases] == ["b"] and unscored == 1


def test_graded_scores_have_a_line_and_scores_without_a_scale_a_rival() -> None:
    suite = suite_of([item("a", answers=("x y",)), item("b", answers=("x y",))], scorer=AnswerF1())
    graded = {"candidate": table(suite, ["x z z z", "x y z"])}
    assert [case.failed for case in cases_of(suite, graded, (), 0.5)[0]] == [True, False]

    def scored(*values: float) -> list[dict[str, object]]:
        return [{"id": one.id, "reply": "x", "score": value} for one, value in zip(suite.items, values, strict=True)]

    tables = {"base": scored(40.0, 70.0), "candidate": scored(60.0, 65.0)}
    cases, _ = cases_of(suite, tables, (), 0.5)
    assert [case.failed for case in cases] == [False, True] and cases[1].known_by == ("base",)


def test_a_table_of_another_suite_is_refused() -> None:
    suite = suite_of([item("a", "billing"), item("b", "speed")])
    rows = table(suite, ["billing", "speed"])
    with pytest.raises(DataError, match="not to its items"):
        cases_of(suite, {"candidate": rows[::-1]}, LABELS, right=0.5)
