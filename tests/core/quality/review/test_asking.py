"""Asking reviewers: who is asked, what a failure costs, and that nothing is asked twice."""

from pathlib import Path

import pytest
from wheelwork.core.chat.budget import Budget, BudgetedChat, Spending
from wheelwork.core.chat.cache import CachedChat, ReplyCache
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.errors import BudgetSpent, ConfigError, TeacherError
from wheelwork.core.quality.review.asking import FAILURES_IN_A_ROW, Review, Reviewer, Unanswered, related
from wheelwork.core.samples import Message
from wheelwork.tests.core.quality.review.panel import chats, panel, said
from wheelwork.tests.fakes import AnsweringChat

DOWN = TeacherError("http://t.test/v1: no answer after 6 tries; check that the endpoint is up")


def requests(*texts: str) -> list[ChatRequest]:
    return [ChatRequest(messages=(Message(role="user", content=text),)) for text in texts]


def digits(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def test_each_reviewer_answers_every_request_in_order() -> None:
    with panel("judge", lambda text: text, lambda text: text * 2) as review:
        assert review.ask("judge", requests("1", "2", "3"), digits) == [[1, 2, 3], [11, 22, 33]]
        assert review.ask("judge", [], digits) == [[], []]
    assert all(chat.closed for chat in chats(review, "judge"))


def test_a_reply_that_cannot_be_read_is_asked_for_again_and_drawn_anew() -> None:
    replies = iter(["well", "4", "hm", "ha", "hmm"])
    with panel("judge", lambda text: next(replies)) as review:
        assert review.ask("judge", requests("a"), digits, retries=1) == [[4]]
        first, second = chats(review, "judge")[0].asked
        assert (first.temperature, second.temperature > 0, first.seed != second.seed) == (0.0, True, True)
        assert review.ask("judge", requests("b"), digits, retries=2) == [[Unanswered("unreadable")]]


def test_half_a_reply_is_not_read_unless_it_may_be_cut() -> None:
    cut = Reply(text="4", finish="length")
    with panel("judge", lambda text: cut) as review:
        assert review.ask("judge", requests("a"), digits) == [[Unanswered("unreadable")]]
        assert review.ask("judge", requests("a"), digits, cut=True) == [[4]]


def test_a_call_that_fails_costs_its_own_row_only() -> None:
    with panel("judge", lambda text: DOWN if text == "2" else text) as review:
        assert review.ask("judge", requests("1", "2", "3"), digits) == [[1, Unanswered("no_reply"), 3]]


def test_a_reviewer_that_is_gone_ends_the_step_so_that_it_can_be_tried_again() -> None:
    with panel("judge", lambda text: DOWN) as review, pytest.raises(TeacherError, match="check that the endpoint"):
        review.ask("judge", requests(*map(str, range(FAILURES_IN_A_ROW))), digits)
    with panel("judge", lambda text: DOWN) as review:
        assert len(review.ask("judge", requests("1", "2"), digits)[0]) == 2
    alternating = (DOWN if number % FAILURES_IN_A_ROW else str(number) for number in range(40))
    with panel("judge", lambda text: next(alternating)) as review:
        told = review.ask("judge", requests(*map(str, range(40))), digits)[0]
    assert told.count(Unanswered("no_reply")) == 32


def test_when_the_budget_is_spent_the_rest_has_its_reason() -> None:
    chat = AnsweringChat(said, parallel=1)
    with Review({"judge": [Reviewer("m", BudgetedChat(chat, Spending(Budget(calls=2))))]}) as review:
        assert review.ask("judge", requests("1", "2", "3", "4"), digits) == [[1, 2, *[Unanswered("budget_spent")] * 2]]
    assert len(chat.asked) == 2


def test_any_other_error_is_raised() -> None:
    with panel("judge", lambda text: ConfigError("the key is refused")) as review, pytest.raises(ConfigError):
        review.ask("judge", requests("1"), digits)
    assert not issubclass(BudgetSpent, TeacherError)


def test_a_second_run_asks_only_for_what_has_no_reply_yet(tmp_path: Path) -> None:
    def run(*texts: str, fail: str = "") -> tuple[list[int | Unanswered], int]:
        cache = ReplyCache(tmp_path / "replies.db")
        chat = AnsweringChat(lambda request: DOWN if said(request) == fail else said(request))
        with Review({"judge": [Reviewer("m", CachedChat(chat, cache))]}) as review:
            told = review.ask("judge", requests(*texts), digits)[0]
        cache.close()
        return told, len(chat.asked)

    assert run("1", "2", "3", fail="2") == ([1, Unanswered("no_reply"), 3], 3)
    assert run("1", "2", "3", "4") == ([1, 2, 3, 4], 2)


def test_progress_hears_every_answer() -> None:
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager

    heard: list[object] = []

    @contextmanager
    def showing(what: str, total: int) -> Iterator[Callable[[float], object]]:
        heard.append((what, total))
        yield heard.append

    with panel("verifier", lambda text: text, lambda text: text, showing=showing) as review:
        review.ask("verifier", requests("1", "2"), digits)
    assert heard == [("verifier", 4), 1, 2, 3, 4]


def test_nobody_to_ask_is_said_in_a_sentence() -> None:
    with (
        panel("judge", lambda text: text) as review,
        pytest.raises(ConfigError, match="no teacher has the role `verif"),
    ):
        review.ask("verifier", requests("1"), digits)


@pytest.mark.parametrize(
    ("model", "other", "kin"),
    [
        ("qwen3-32b", "Qwen/Qwen2.5-7B-Instruct", True),
        ("meta-llama/Llama-3.1-8B-Instruct", "/models/llama-3.2-1b.gguf", True),
        ("gpt-4o-mini", "o3", True),
        ("DeepSeek-R1-Distill-Qwen-7B", "qwen2.5-0.5b", True),
        ("Mixtral-8x7B-Instruct", "mistral-small", True),
        ("smollm2-135m-instruct", "smollm2-135m-instruct", True),
        ("qwen3-32b", "meta-llama/Llama-3.1-8B-Instruct", False),
        ("phi-4-mini-instruct", "gemma-3-1b-it", False),
        ("mini-model", "phi-4-mini", False),
        ("gpt-4o", "claude-sonnet-4", False),
        ("7b", "13b", False),
    ],
)
def test_families_are_known_by_name(model: str, other: str, kin: bool) -> None:
    assert related(model, other) is related(other, model) is kin


def test_reviewers_of_the_writers_family_are_named_once() -> None:
    with panel("judge", str, str, writers=["alpha-70b", "alpha-2b", "omega-1b"]) as review:
        assert review.kin("judge") == [("alpha-7b", "alpha-70b")]
