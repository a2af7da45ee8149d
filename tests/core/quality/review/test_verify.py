"""Verifiers: which knowledge an answer is held against, terms that nobody gave, and claims with their quotes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import TeacherError
from wheelwork.core.quality.context import Judgements
from wheelwork.core.quality.review.marks import Claim, read_claims
from wheelwork.core.quality.review.terms import invented_terms
from wheelwork.core.quality.review.verify import Verifier
from wheelwork.core.samples import Sample
from wheelwork.tests.core.quality.review.panel import Rule, answer_of, chats, context, panel, said, sample

PASSAGE = "Leave is asked for on form HR-7, 14 days ahead. Ms Okafor decides; on Fridays the desk closes at 13:00."
PASSAGES = {"leave#asking": PASSAGE}


def about(answer: str, **rest: Any) -> Sample:
    given = {"task": "grounded_qa", "controls": {"passage": "leave#asking"}, "system": f"Answer. {PASSAGE}"}
    return sample(answer, "How do I ask for leave?", **(given | rest))


def claims(*told: tuple[str, str, Any]) -> str:
    return json.dumps({"claims": [{"claim": claim, "quote": quote, "supported": yes} for claim, quote, yes in told]})


TRUE = claims(("form HR-7", "on form HR-7", True), ("14 days ahead", "14 days ahead", True))
HALF = claims(("form HR-7", "on form HR-7", True), ("a month ahead", "", False))


def by_answer(**replies: str | Exception) -> Rule:
    return lambda text: replies[answer_of(text)]


def verified(settings: Verifier, rows: list[Sample], *rules: Rule, **more: Any) -> Judgements:
    with panel("verifier", *rules, passages=PASSAGES, **more) as review:
        return settings(rows, context(review))


# invented terms


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("You hand in form HR-7 to Ms Okafor.", ()),
        ("You hand in form HR-9 to Ms Okafor.", ("HR-9",)),
        ("It takes 21 days.", ("21",)),
        ("On a Friday until 13:00, as Okafor says", ()),
        ("You ask Dana Lindqvist, or use the `leave_portal`.", ("Dana", "Lindqvist", "leave_portal")),
        ("You write 'please' and call it “emergency leave”.", ("emergency leave",)),
        ("You need GPT-4 for that.", ("GPT-4",)),
        ("Nothing is known about it.", ()),
        ("", ()),
    ],
)
def test_terms_that_nobody_gave(answer: str, found: tuple[str, ...]) -> None:
    assert invented_terms(answer, (PASSAGE, "How do I ask for leave?")) == found


def test_what_the_question_names_is_given() -> None:
    assert invented_terms("Yes, Lindqvist may sign 3 forms.", (PASSAGE,)) == ("Lindqvist", "3")
    assert invented_terms("Yes, and Lindqvist may sign 3 forms.", (PASSAGE, "May Lindqvist sign 3?")) == ()


def test_chinese_terms_are_numbers_latin_words_and_what_is_quoted() -> None:
    known = "年假须提前14天在OA系统提交《请假申请表》，由部门经理审批。"
    assert invented_terms("提前14天在OA系统提交《请假申请表》。", (known,)) == ()
    assert invented_terms("提前30天在SAP系统提交《年假登记表》。", (known,)) == ("30", "SAP", "年假登记表")


WORDS = st.lists(st.sampled_from(["the", "HR-7", "Okafor", "14", "13:00", "on", "Fridays", "form"]), max_size=8)


@given(WORDS)
def test_what_is_taken_from_the_knowledge_is_never_invented(words: list[str]) -> None:
    assert invented_terms(" ".join(words), (PASSAGE,)) == ()


@given(st.text(max_size=80))
def test_any_text_has_terms_or_none_and_none_against_itself(text: str) -> None:
    assert invented_terms(text, (text,)) == ()
    assert len(set(invented_terms(text, ()))) == len(invented_terms(text, ()))


# claims


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (claims(("c", "q", True)), (Claim("c", "q", True),)),
        ("So: " + claims(("c", "", False)) + " Done.", (Claim("c", "", False),)),
        ("{'claims': [{'claim': 'c', 'quote': None, 'supported': 'Yes'}]}", (Claim("c", "", True),)),
        ("<think>" + claims(("x", "", True)) + "</think>" + claims(("c", "", False)), (Claim("c", "", False),)),
        (claims(), None),
        (claims(("c", "q", "perhaps")), None),
        (claims(("c", "q", True), ("", "q", True)), None),
        (claims(("…", "…", True)), None),
        ('{"claims": "none"}', None),
        ('{"claims": [{"claim": "c"}]}', None),
        ("all of it is true", None),
    ],
)
def test_claims_have_a_verdict_each_or_are_not_read(reply: str, found: Any) -> None:
    assert read_claims(reply) == found


def test_an_answer_with_an_unsupported_claim_is_dropped() -> None:
    rows = [about("true"), about("half")]
    told = verified(Verifier(), rows, by_answer(true=TRUE, half=HALF))
    assert told.reasons == [None, "unsupported_claim"]
    assert told.scores["supported_claims"] == [1, 0.5]
    assert verified(Verifier(min_supported=0.5), rows, by_answer(true=TRUE, half=HALF)).reasons == [None, None]


def test_a_quote_that_does_not_stand_in_the_knowledge_counts_only_when_quotes_do_not() -> None:
    made_up = claims(("form HR-7", "leave is granted on form HR-7", True), ("14 days", "14 DAYS ahead.", True))
    assert verified(Verifier(), [about("a")], by_answer(a=made_up)).reasons == [None]
    told = verified(Verifier(quotes=True), [about("a")], by_answer(a=made_up))
    assert (told.reasons, told.scores["supported_claims"]) == (["unsupported_claim"], [0.5])
    assert verified(Verifier(quotes=True), [about("a")], by_answer(a=HALF.replace("false", "true"))).reasons == [
        "unsupported_claim"
    ]


def test_several_verifiers_vote() -> None:
    yes, no = by_answer(a=TRUE), by_answer(a=HALF)
    assert verified(Verifier(), [about("a")], yes, yes, no).reasons == [None]
    assert verified(Verifier(), [about("a")], yes, no, no).reasons == ["unsupported_claim"]
    assert verified(Verifier(agreement=1), [about("a")], yes, yes, no).reasons == ["unsupported_claim"]


@pytest.mark.parametrize(("then", "reason"), [("keep", None), ("drop", "verifier_unscored")])
@pytest.mark.parametrize("failure", [TeacherError("no answer"), "I cannot tell"])
def test_a_failure_is_unscored(failure: Any, then: Any, reason: str | None) -> None:
    told = verified(Verifier(unscored=then), [about("a")], by_answer(a=failure))
    assert (told.reasons, told.scores["supported_claims"]) == ([reason], [None])
    assert "verifier: 1 of 1 rows could not be judged" in told.notes[0]


# what is checked against what


def test_invented_terms_are_pointed_out_or_dropped_unasked() -> None:
    row = about("You ask Lindqvist on form HR-9.")
    with panel("verifier", lambda text: TRUE, passages=PASSAGES) as review:
        told = Verifier()([row, about("You use form HR-7.")], context(review))
        asked = [said(request) for request in chats(review, "verifier")[0].asked]
        assert told.scores["invented_terms"] == [2, 0] and told.figures["with_invented_terms"] == 1
        assert "Lindqvist; HR-9" in asked[0] and "These terms" not in asked[1]
        assert review.remarks[row.id] == ["verifier: invented terms: Lindqvist, HR-9"]
        dropped = Verifier(invented="drop")([row], context(review))
        assert (dropped.reasons, dropped.scores["supported_claims"]) == (["invented_term"], [None])
        assert len(chats(review, "verifier")[0].asked) == 2


@pytest.mark.parametrize(
    ("row", "knowledge"),
    [
        (about("a"), PASSAGE),
        (about("a", controls={"passage": "gone#since"}), f"Answer. {PASSAGE}"),
        (about("a", controls={}), f"Answer. {PASSAGE}"),
        (sample("a", "A long text.", task="summarize"), "A long text."),
        (sample("a", "A text.", task="rewrite"), "A text."),
    ],
)
def test_the_knowledge_is_the_passage_or_the_text(row: Sample, knowledge: str) -> None:
    with panel("verifier", lambda text: TRUE, passages=PASSAGES) as review:
        Verifier()([row], context(review))
        assert f"<knowledge>\n{knowledge}\n</knowledge>" in said(chats(review, "verifier")[0].asked[0])


@pytest.mark.parametrize("row", [sample("a"), sample("a", task="code"), about("a", label="a"), about(" ")])
def test_what_has_no_knowledge_to_stand_on_passes_unasked(row: Sample) -> None:
    with panel("verifier", lambda text: HALF, passages=PASSAGES) as review:
        told = Verifier(unscored="drop")([row], context(review))
        assert (told.reasons, told.scores_of(0), told.figures["without_knowledge"]) == ([None], {}, 1)
        assert chats(review, "verifier")[0].asked == [] and told.notes == ()


def test_what_was_not_supported_is_told() -> None:
    row = about("half")
    with panel("verifier", by_answer(half=HALF), by_answer(half=HALF), passages=PASSAGES) as review:
        Verifier()([row], context(review))
        assert review.remarks[row.id] == ["verifier: not supported: a month ahead"]
