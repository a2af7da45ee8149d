"""Answers to a suite: order, repeats, seeds, means."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from wheelwork.core.chat.cache import CachedChat, ReplyCache
from wheelwork.core.chat.messages import ChatRequest
from wheelwork.core.errors import ConfigError
from wheelwork.core.evaluation.benchmark import Answered, answer_suite, ask_suite, mean_score, score_replies
from wheelwork.core.evaluation.scorers import Item, Opened, Score
from wheelwork.core.evaluation.suites import Suite, SuiteSettings
from wheelwork.core.samples import Message
from wheelwork.tests.fakes import AnsweringChat


def suite_of(prompts: list[str], **settings: Any) -> Suite:
    told = SuiteSettings.model_validate({"role": "target", "path": "x", "scorer": {"kind": "matches"}} | settings)
    items = tuple(Item(id=prompt, prompt=prompt, answers=("yes",)) for prompt in prompts)
    return Suite("quiz", told, Path("x"), items, tuple(range(len(items))), "digest")


def render(suite: Suite, item: Item) -> tuple[Message, ...]:
    return (Message(role="user", content=item.prompt),)


def echo(request: ChatRequest) -> str:
    return f"{request.messages[-1].content} {request.seed}"


def test_replies_come_in_the_order_of_the_items_whatever_order_they_are_asked_in() -> None:
    chat = AnsweringChat(echo, parallel=1)
    told: list[int] = []
    found = asyncio.run(ask_suite(chat, suite_of(["b 2", "a 1", "b 1"]), render, told.append))
    assert found == (("b 2 0",), ("a 1 0",), ("b 1 0",))
    # those that begin alike one after the other
    assert [request.messages[-1].content for request in chat.asked] == ["a 1", "b 1", "b 2"]
    assert told == [1, 2, 3]


def test_each_repeat_has_a_seed_of_its_own_and_is_kept(tmp_path: Path) -> None:
    suite = suite_of(["q"], repeats=3, temperature=0.8)
    chat = AnsweringChat(echo)
    cache = ReplyCache(tmp_path / "replies.db")
    first, again = (asyncio.run(ask_suite(CachedChat(chat, cache), suite, render)) for _ in range(2))
    assert first == again == (("q 0", "q 1", "q 2"),)
    assert [(one.seed, one.temperature) for one in chat.asked] == [(0, 0.8), (1, 0.8), (2, 0.8)]


def test_the_score_of_an_item_is_the_mean_of_its_repeats() -> None:
    suite = suite_of(["p", "q"], repeats=2, temperature=1.0)
    found = score_replies(suite, (("yes", "no"), ("yes", "yes")), render, Opened())
    assert found.values == (0.5, 1.0) and found.mean == 0.75
    assert found.replies == ("yes", "yes") and found.every_reply == (("yes", "no"), ("yes", "yes"))


def test_a_greedy_answer_is_asked_as_it_always_was() -> None:
    chat = AnsweringChat(lambda request: "yes")
    found = asyncio.run(answer_suite(chat, suite_of(["q"]), render))
    assert found == Answered(("yes",), (Score(1.0),))
    assert chat.asked == [ChatRequest(messages=(Message(role="user", content="q"),), max_tokens=24)]


@given(some.lists(some.one_of(some.none(), some.floats(0, 1)), min_size=2, max_size=8))
def test_repeats_are_averaged_where_half_of_them_are_scored(values: list[float | None]) -> None:
    scores = [Score.unscored("no_reply") if value is None else Score(value) for value in values]
    known = [value for value in values if value is not None]
    found = mean_score(scores)
    if 2 * len(known) < len(values):
        assert found == Score.unscored("no_reply")
    else:
        assert found.value == pytest.approx(sum(known) / len(known))


def test_a_scorer_that_needs_a_judge_says_so_where_there_is_none() -> None:
    suite = suite_of(["q"], scorer={"kind": "judge"})
    with pytest.raises(ConfigError, match="suite `quiz`: the scorer `judge` needs more than replies"):
        asyncio.run(answer_suite(AnsweringChat(lambda request: "yes"), suite, render))
