"""Self-consistency: shares and entropies of drawn answers, by hand and for any counts."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.errors import TeacherError
from wheelwork.core.quality.context import Judgements
from wheelwork.core.quality.review.asking import Review, Reviewer
from wheelwork.core.quality.review.consistency import SelfConsistency, entropy, share
from wheelwork.core.samples import Sample
from wheelwork.tests.core.quality.review.panel import context, sample
from wheelwork.tests.fakes import AnsweringChat

Draws = dict[str, list[str | Exception]]


def labelled(text: str, label: str = "offline") -> Sample:
    return sample(label, text, label=label, task="classify")


def drawing(draws: Draws) -> AnsweringChat:
    """Answers a text with its draw of the request's number."""
    return AnsweringChat(lambda request: draws[request.messages[-1].content][request.seed])


def measured(settings: SelfConsistency, draws: Draws, rows: list[Sample]) -> tuple[Judgements, list[ChatRequest]]:
    chat = drawing(draws)
    with Review({settings.role: [Reviewer("m", chat)]}) as review:
        return settings(rows, context(review)), chat.asked


def test_a_text_is_asked_for_as_often_as_is_said_each_time_anew() -> None:
    _, asked = measured(SelfConsistency(times=3, temperature=0.9, max_tokens=7), {"t": ["a"] * 3}, [labelled("t")])
    assert [request.seed for request in asked] == [0, 1, 2]
    assert {(request.temperature, request.max_tokens) for request in asked} == {(0.9, 7)}
    assert all([turn.role for turn in request.messages] == ["system", "user"] for request in asked)


def test_shares_and_entropies_by_hand() -> None:
    draws: Draws = {
        "same": ["offline", "Offline.", ' "OFFLINE" ', "offline", "offline"],
        "most": ["offline", "offline", "offline", "billing", "billing"],
        "each": ["a", "b", "c", "d", "e"],
        "other": ["billing"] * 4 + ["offline"],
    }
    told, _ = measured(SelfConsistency(), draws, [labelled(text) for text in draws])
    assert told.reasons == [None, None, "inconsistent", "label_disputed"]
    assert told.scores["consistency"] == [1, 0.6, 0.2, 0.8]
    assert told.scores["label_share"] == [1, 0.6, 0, 0.2]
    two = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) / math.log(5)
    four = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(5)
    assert told.scores["answer_entropy"] == pytest.approx([0, two, 1, four])


def test_what_is_dropped_is_an_option() -> None:
    draws: Draws = {"most": ["offline"] * 3 + ["billing"] * 2, "other": ["billing"] * 5}
    rows = [labelled(text) for text in draws]
    assert measured(SelfConsistency(disputed="keep"), draws, rows)[0].reasons == [None, None]
    assert measured(SelfConsistency(min_share=0.7), draws, rows)[0].reasons == ["inconsistent", "label_disputed"]
    assert measured(SelfConsistency(max_entropy=0.2), draws, rows)[0].reasons == ["inconsistent", "label_disputed"]


def test_a_label_that_is_as_common_as_another_is_not_disputed() -> None:
    draws: Draws = {"t": ["offline", "billing"] * 2}
    assert measured(SelfConsistency(times=4, min_share=0.5), draws, [labelled("t")])[0].reasons == [None]


@pytest.mark.parametrize(("then", "reason"), [("keep", None), ("drop", "consistency_unscored")])
def test_too_few_answers_are_unscored(then: Any, reason: str | None) -> None:
    draws: Draws = {
        "few": ["offline", "offline", *[TeacherError("late")] * 3],
        "most": ["offline"] * 3 + [TeacherError("late")] * 2,
    }
    told, _ = measured(SelfConsistency(unscored=then), draws, [labelled("few"), labelled("most")])
    assert told.reasons == [reason, None]
    assert told.scores_of(0) == {} and told.scores_of(1)["consistency"] == 1
    assert told.figures == {"asked": 2, "unscored": 1}


def test_samples_without_a_label_pass_unasked() -> None:
    told, asked = measured(SelfConsistency(), {"t": ["offline"] * 5}, [sample("yes"), labelled("t")])
    assert (told.reasons, told.scores_of(0), len(asked), told.figures["asked"]) == ([None, None], {}, 5, 1)


def test_several_models_of_the_named_role_answer_into_one_count() -> None:
    settings = SelfConsistency(role="writer", times=2, disputed="keep", min_share=0)
    chats = [drawing({"t": ["offline", "offline"]}), drawing({"t": ["billing", "offline"]})]
    with Review({"writer": [Reviewer("a", chats[0]), Reviewer("b", chats[1])]}) as review:
        told = settings([labelled("t")], context(review))
    assert told.scores["consistency"] == [0.75]


COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(
    lambda ns: Counter({str(i): n for i, n in enumerate(ns)})
)


@given(COUNTS)
def test_entropy_and_share_stay_in_their_bounds(counts: Counter[str]) -> None:
    assert 0 <= entropy(counts) <= 1 and 0 < share(counts) <= 1
    assert (entropy(counts) == 0) == (len(counts) == 1) == (share(counts) == 1)


@given(st.integers(2, 20))
def test_no_two_alike_is_1(n: int) -> None:
    assert entropy(Counter(map(str, range(n)))) == pytest.approx(1)
