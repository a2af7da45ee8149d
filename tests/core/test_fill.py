"""Filling orders: every row that was asked for is made, or stands there with the reason why not."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from wheelwork.core.chat.messages import ChatRequest, Choice, Reply
from wheelwork.core.errors import BudgetSpent, TeacherError
from wheelwork.core.generation.fill import Rows, fill_orders
from wheelwork.core.generation.planning import Cell, Order
from wheelwork.core.samples import Sample
from wheelwork.tests.core.test_writing import writing
from wheelwork.tests.fakes import ScriptedChat

GOOD = json.dumps({"question": "When?", "answer": "At noon."})


def orders(count: int, choices: int = 1) -> Iterator[Order]:
    return (Order(Cell("billing"), choices, (), "", seed, "write") for seed in range(count))


def written(chat: ScriptedChat, count: int, choices: int = 1, **changes: object) -> tuple[list[Sample], Rows]:
    rows = Rows(fill_orders(orders(count, choices), writing("qa", **changes), chat, origin="teacher"), chat)
    return list(rows), rows


def test_an_unreadable_reply_is_asked_for_again_and_the_row_is_made() -> None:
    samples, rows = written(ScriptedChat(["rubbish", "more rubbish", GOOD]), 1)
    assert [sample.completion for sample in samples] == ["At noon."]
    assert (rows.count, rows.refused) == (1, {})


def test_rubbish_is_paid_for_up_to_a_bound_and_leaves_a_row_with_a_reason() -> None:
    chat = ScriptedChat(["rubbish"] * 3 + [GOOD])
    samples, rows = written(chat, 2, retries=2)
    assert [sample.reject_reason for sample in samples] == ["unreadable", None]
    assert samples[0].prompt == "rubbish", "what was said can be looked at"
    assert rows.refused == {"unreadable": 1}
    assert len({request.seed for request in chat.asked}) == 4


def test_choices_that_are_missing_are_rows_too() -> None:
    chat = ScriptedChat([Reply(text=GOOD, more=(Choice(text=GOOD),))])
    samples, rows = written(chat, 1, choices=3)
    assert len(samples) == rows.count == 3
    assert rows.refused == {"no_reply": 1}


def test_good_choices_are_kept_when_others_are_asked_for_again() -> None:
    chat = ScriptedChat([Reply(text=GOOD, more=(Choice(text="?"),)), Reply(text=GOOD, more=(Choice(text="?"),))])
    samples, rows = written(chat, 1, choices=2)
    assert [sample.reject_reason for sample in samples] == [None, None]
    assert rows.refused == {}


def test_a_spent_budget_ends_with_what_there_is() -> None:
    samples, rows = written(ScriptedChat([GOOD, BudgetSpent("spent"), BudgetSpent("spent")]), 3)
    assert [sample.reject_reason for sample in samples] == [None, "budget_spent", "budget_spent"]
    assert rows.refused == {"budget_spent": 2}


def test_an_endpoint_that_is_gone_ends_the_step_and_the_chat_is_closed() -> None:
    chat = ScriptedChat([GOOD, TeacherError("gone")])
    with pytest.raises(TeacherError, match="gone"):
        written(chat, 3)
    assert chat.closed


def test_progress_counts_rows() -> None:
    heard: list[int] = []
    chat = ScriptedChat([GOOD] * 4)
    list(Rows(fill_orders(orders(4), writing("qa"), chat, origin="teacher"), chat, heard.append))
    assert heard == sorted(heard)
    assert heard[-1] == 4


class Endless:
    """Answers everything, and keeps nothing."""

    parallel = 8
    fingerprint = "endless"

    async def __call__(self, request: ChatRequest) -> Reply:
        return Reply(text=json.dumps({"question": f"When is {request.seed}?", "answer": "At noon."}))

    async def aclose(self) -> None:
        pass


def test_memory_does_not_grow_with_rows() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in Rows(fill_orders(orders(count), writing("qa"), Endless(), origin="teacher"), Endless()):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(100)
    assert peak(3000) < 1.5 * peak(1000) + 200_000
