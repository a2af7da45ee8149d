"""How far replies agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.export.agreement import Agreement, agreement, begun_alike, questions
from wheelwork.core.loops import Loop
from wheelwork.core.samples import Message


def found(ours: list[str], theirs: list[str]) -> Agreement:
    asked = [ChatRequest(messages=(Message(role="user", content=f"q{n}"),)) for n in range(len(ours))]
    return agreement("one", "other", asked, ours, theirs, lambda text: [ord(sign) for sign in text])


def test_equal_replies_agree_in_full() -> None:
    same = found(["a", ""], ["a", ""])
    assert (same.exact, same.tokens, same.characters, same.first_difference) == (1, 1, 1, None)
    assert not same.below(1.0)


def test_a_word_in_the_middle_costs_tokens_more_than_likeness() -> None:
    apart = found(["same", "the red modem is off"], ["same", "the old modem is off"])
    assert apart.exact == 0.5 and apart.below(0.9)
    assert apart.tokens == pytest.approx((1 + 4 / 20) / 2)
    assert apart.characters == pytest.approx((1 + 2 * 18 / 40) / 2)
    assert apart.first_difference == ("q1", "the red modem is off", "the old modem is off")


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_beginnings_are_counted_of_the_longer(one: list[int], other: list[int]) -> None:
    share = begun_alike(one, other)
    assert share == begun_alike(other, one) and 0 <= share <= 1
    assert (share == 1) == (one == other)


def test_questions_are_of_every_suite_then_of_seeds(loop: Loop) -> None:
    asked = questions(loop, 6)
    last = [request.messages[-1].content for request in asked]
    items = {name: [item.prompt for item in suite.items] for name, suite in loop.suites.items()}
    assert last[::2] == items["holdout"][:3] and last[1::2] == items["general"][:3]
    assert asked[0].messages[0].role == "system" and asked[1].messages[0].role == "user"
    everything = sum(len(suite.items) for suite in loop.suites.values())
    more = questions(loop, everything + 2)
    assert len(more) == everything + 2
    assert more[-1].messages[-1].content == loop.seeds[1].text
