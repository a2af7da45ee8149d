"""Budgets: what is counted, and that no call is made which could cost more than is left."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.chat.budget import Budget, BudgetedChat, Cost, Prices, Spending
from wheelwork.core.chat.cache import CachedChat, ReplyCache, ask_all
from wheelwork.core.chat.messages import Chat, ChatRequest, Choice, Reply
from wheelwork.core.errors import BudgetSpent, TeacherError
from wheelwork.core.samples import Message
from wheelwork.tests.fakes import ScriptedChat, impatiently


def ask(text: str = "hello!", max_tokens: int = 10, choices: int = 1, seed: int = 0) -> ChatRequest:
    message = Message(role="user", content=text)
    return ChatRequest(messages=(message,), max_tokens=max_tokens, choices=choices, seed=seed)


class Metered:
    """Answers each request after a second, with as many completion tokens as its seed says and 2 of the prompt."""

    fingerprint = "metered"

    def __init__(self, parallel: int = 1) -> None:
        self.parallel = parallel
        self.calls = 0

    async def __call__(self, request: ChatRequest) -> Reply:
        self.calls += 1
        await asyncio.sleep(1)
        return Reply(text=f"{self.calls}", prompt_tokens=2, completion_tokens=request.seed)

    async def aclose(self) -> None: ...


async def until_spent(chat: Chat, requests: Iterable[ChatRequest]) -> tuple[list[str], str]:
    texts: list[str] = []
    try:
        async for reply in ask_all(chat, requests):
            texts.append(reply.text)
    except BudgetSpent as spent:
        return texts, str(spent)
    return texts, ""


def test_what_a_call_can_and_does_cost() -> None:
    prices = Prices(prompt=2.0, completion=10.0)
    assert Cost.most(ask("six 光猫", max_tokens=10, choices=3), prices) == Cost(1, 33, (3 * 2 + 30 * 10) / 1e6)
    counted = Reply(text="x", prompt_tokens=7, completion_tokens=5)
    assert Cost.of(ask(), counted, prices) == Cost(1, 12, (7 * 2 + 5 * 10) / 1e6)


def test_an_endpoint_that_does_not_count_is_not_free() -> None:
    reply = Reply(text="abcdef", more=(Choice(text="ghijkl"),))
    assert Cost.of(ask("hello!"), reply, Prices()).tokens == 2 + 4


@pytest.mark.parametrize("parallel", [1, 3, 8])
def test_calls_stop_at_the_budget_with_what_there_is(parallel: int) -> None:
    chat = Metered(parallel)
    spending = Spending(Budget(calls=5))
    requests = (ask(seed=1) for _ in range(20))
    (texts, told), _ = impatiently(until_spent(BudgetedChat(chat, spending), requests))
    assert (len(texts), chat.calls, spending.spent.calls) == (5, 5, 5)
    assert "the budget of 5 calls is spent" in told


def test_without_limits_everything_is_counted_and_nothing_stopped() -> None:
    spending = Spending()
    chat = BudgetedChat(Metered(4), spending, Prices(prompt=1e6, completion=2e6))
    (texts, told), seconds = impatiently(until_spent(chat, [ask(seed=3)] * 8))
    assert (len(texts), told) == (8, "")
    assert spending.spent == Cost(8, 8 * 5, 8 * (2 + 6.0))
    assert seconds == pytest.approx(2, abs=0.2)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200), st.integers(1, 6), st.lists(st.integers(1, 10), max_size=30))
def test_tokens_never_exceed_the_budget_and_it_is_used_up(tokens: int, parallel: int, wrote: list[int]) -> None:
    spending, chat = Spending(Budget(tokens=tokens)), Metered(parallel)
    requests = [ask(seed=count) for count in wrote]
    (texts, told), _ = impatiently(until_spent(BudgetedChat(chat, spending), requests))
    assert spending.spent.tokens <= tokens
    if told:  # not one more call at its worst (2 + 10 tokens) would have fitted
        assert spending.spent.tokens + 12 > tokens
    else:
        assert len(texts) == len(wrote)


def test_money_that_is_used_to_the_last_cent_is_not_exceeded_by_rounding() -> None:
    spending = Spending(Budget(money=0.3))
    chat = BudgetedChat(Metered(), spending, Prices(prompt=0, completion=1e4))  # 10 tokens are 0.1
    (texts, told), _ = impatiently(until_spent(chat, [ask(seed=10)] * 5))
    assert len(texts) == 3
    assert "budget of 0.3 money is spent" in told


def test_a_failed_call_gives_back_what_was_set_aside() -> None:
    spending = Spending(Budget(calls=1))
    chat = BudgetedChat(ScriptedChat([TeacherError("down"), "up"]), spending)
    with pytest.raises(TeacherError):
        impatiently(chat(ask()))
    assert impatiently(chat(ask()))[0].text == "up"
    with pytest.raises(BudgetSpent):
        impatiently(chat(ask()))
    assert spending.spent.calls == 1


def test_one_spending_counts_several_teachers() -> None:
    spending = Spending(Budget(calls=3))
    one, other = (BudgetedChat(Metered(2), spending) for _ in range(2))

    async def both() -> list[tuple[list[str], str]]:
        return await asyncio.gather(until_spent(one, [ask()] * 4), until_spent(other, [ask()] * 4))

    results = impatiently(both())[0]
    assert sum(len(texts) for texts, _ in results) == 3
    assert all(told for _, told in results)


def test_a_reply_from_the_cache_costs_nothing(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.db")
    for budget, answered in ((3, 3), (3, 6), (0, 6)):
        spending = Spending(Budget(calls=budget))
        chat = CachedChat(BudgetedChat(Metered(2), spending), cache)
        requests = [ask(f"request {number}") for number in range(10)]
        (texts, told), _ = impatiently(until_spent(chat, requests))
        assert (len(texts), bool(told)) == (answered, True)
        assert spending.spent.calls == chat.calls == min(budget, 3)


def test_who_is_cancelled_while_waiting_holds_up_nobody() -> None:
    async def play() -> Cost:
        spending, chat = Spending(Budget(calls=2)), Metered(3)
        budgeted = BudgetedChat(chat, spending)
        calls = [asyncio.ensure_future(budgeted(ask())) for _ in range(4)]
        await asyncio.sleep(0.5)
        calls[2].cancel()
        calls[0].cancel()  # its place goes to the fourth
        await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(calls[3].result(), Reply)
        return spending.spent

    assert impatiently(play())[0].calls == 2
