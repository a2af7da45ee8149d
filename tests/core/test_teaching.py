"""Teachers at work: shares, fallback, budget and cache as one chat; who is not there is told before any work."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.chat.budget import Budget, Prices
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.errors import BudgetSpent, ConfigError, TeacherError
from wheelwork.core.samples import Message
from wheelwork.core.teachers import BlockTeacher, OpenAITeacher, Teacher
from wheelwork.core.teaching import Teachers, Teaching
from wheelwork.tests.core.test_chat_mock_teacher import mock_teacher


def nobody(*_: Any) -> Any:
    raise AssertionError("no embedded teacher is asked for")


def teachers(*settings: Teacher) -> Teachers:
    return Teachers(settings, nobody, nobody)


def at(url: str, **more: Any) -> OpenAITeacher:
    return OpenAITeacher(base_url=url, model="mock", parallel=4, **more)


def ask(teaching: Teaching, count: int, first: int = 0) -> list[Reply | Exception]:
    async def work() -> Sequence[Any]:
        requests = [
            ChatRequest(messages=(Message(role="user", content=f"Write {n}."),), seed=n, max_tokens=16)
            for n in range(first, first + count)
        ]
        replies = await asyncio.gather(*map(teaching.chat, requests), return_exceptions=True)
        await teaching.chat.aclose()
        return replies

    return list(asyncio.run(work()))


def test_a_teacher_is_asked_once_and_remembered(tmp_path: Path) -> None:
    with mock_teacher() as url, ExitStack() as stack:
        who = teachers(at(url))
        teaching = who.open(tmp_path, Budget(), stack)
        assert teaching.chat.fingerprint == who.fingerprint()
        assert all(isinstance(reply, Reply) for reply in ask(teaching, 5))
        ask(teaching, 5)
        assert (teaching.chat.calls, teaching.chat.hits) == (5, 5)


def test_several_teachers_share_and_stand_in_for_each_other(tmp_path: Path) -> None:
    with mock_teacher() as one, mock_teacher() as other, ExitStack() as stack:
        who = teachers(at(one, weight=3), at(other, weight=1))
        assert who.open(tmp_path, Budget(), stack).chat.fingerprint == who.fingerprint()
        replies = ask(who.open(tmp_path / "b", Budget(), stack), 20)
    assert all(isinstance(reply, Reply) for reply in replies)


def test_what_calls_cost_is_counted_and_a_spent_budget_stops_further_ones(tmp_path: Path) -> None:
    with mock_teacher() as url, ExitStack() as stack:
        priced = at(url, prices=Prices(prompt=1.0, completion=2.0))
        teaching = teachers(priced).open(tmp_path, Budget(calls=3), stack)
        replies = ask(teaching, 6)
    assert sum(isinstance(reply, Reply) for reply in replies) == 3
    assert sum(isinstance(reply, BudgetSpent) for reply in replies) == 3
    assert teaching.cost > 0


def test_one_call_brings_what_each_teacher_can(tmp_path: Path) -> None:
    assert teachers(at("http://a.test/v1", choices=4), at("http://b.test/v1", choices=2)).choices == 2


def test_each_teacher_alone_answers_for_itself_and_spends_from_one_budget(tmp_path: Path) -> None:
    with mock_teacher() as one, mock_teacher() as other, ExitStack() as stack:
        who = teachers(at(one), at(other))
        first, second = who.open_each(tmp_path, Budget(calls=3), stack)
        assert [first.chat.fingerprint, second.chat.fingerprint] == who.fingerprints()
        assert who.names() == ["mock", "mock"]
        assert sum(isinstance(reply, Reply) for reply in ask(first, 2)) == 2
        assert sum(isinstance(reply, Reply) for reply in ask(second, 2)) == 1
        assert first.spending is second.spending and first.spending.spent.calls == 3


def test_an_endpoint_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    with ExitStack() as stack, pytest.raises(TeacherError, match=r"the teacher `mock` at .* cannot be reached"):
        teachers(at("http://127.0.0.1:9/v1")).open(tmp_path, Budget(), stack)


def test_a_block_needs_a_round(tmp_path: Path) -> None:
    with ExitStack() as stack, pytest.raises(ConfigError, match="the teacher `ours` is a Prefect block"):
        teachers(BlockTeacher(name="ours")).open(tmp_path, Budget(), stack)
