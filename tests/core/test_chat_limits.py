"""The adaptive limit: how it grows, how it shrinks, and that it finds what a server stands."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.chat.limits import AdaptiveLimit
from wheelwork.tests.fakes import impatiently


async def full(limit: AdaptiveLimit) -> list[int]:
    """As many calls as may begin now."""
    return [await limit.enter() for _ in range(limit.value - limit.under_way)]


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 20), st.integers(1, 8), st.lists(st.sampled_from([True, False, None]), max_size=120))
def test_it_stays_between_one_and_the_most(most: int, start: int, outcomes: list[bool | None]) -> None:
    async def play() -> None:
        limit, calls = AdaptiveLimit(most, start), list[int]()
        for outcome in outcomes:
            calls += await full(limit)
            before = limit.value
            limit.leave(calls.pop(0), outcome)
            assert 1 <= limit.value <= most
            if outcome is None:
                assert limit.value == before
            elif outcome:
                assert before <= limit.value <= before + 1
            else:
                assert limit.value in (before, max(1, before // 2))

    impatiently(play())


def test_it_grows_by_one_a_success_until_the_first_refusal_and_by_one_a_window_after_it() -> None:
    async def play() -> list[int]:
        limit, values = AdaptiveLimit(100, start=4), []
        for answered in [True, True, True, True, False]:
            calls = await full(limit)
            limit.leave(calls[-1], answered)
            for call in calls[:-1]:
                limit.leave(call, None)
            values.append(limit.value)
        for _ in range(4 + 5):
            limit.leave((await full(limit))[-1], True)
            values.append(limit.value)
            limit.under_way = 0
        return values

    assert impatiently(play())[0] == [5, 6, 7, 8, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6]


def test_refusals_of_one_round_trip_cut_once() -> None:
    async def play() -> list[int]:
        limit, values = AdaptiveLimit(16, start=16), []
        for call in await full(limit):
            limit.leave(call, False)
            values.append(limit.value)
        limit.leave((await full(limit))[0], False)
        return [*values, limit.value]

    assert impatiently(play())[0] == [8] * 16 + [4]


def test_a_limit_that_is_not_used_up_does_not_grow() -> None:
    async def play() -> int:
        limit = AdaptiveLimit(100, start=4)
        for _ in range(50):
            limit.leave(await limit.enter(), True)
        return limit.value

    assert impatiently(play())[0] == 4


def test_who_waits_is_let_in_in_order_and_a_cancelled_one_takes_no_place() -> None:
    async def play() -> list[str]:
        limit, entered = AdaptiveLimit(1), list[str]()

        async def call(name: str) -> None:
            number = await limit.enter()
            entered.append(name)
            await asyncio.sleep(1)
            limit.leave(number, True)

        tasks = [asyncio.ensure_future(call(name)) for name in "abcd"]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limit.under_way == 0
        return entered

    assert impatiently(play())[0] == ["a", "c", "d"]


def test_a_place_given_at_the_moment_of_cancellation_is_given_back() -> None:
    async def play() -> int:
        limit = AdaptiveLimit(1)
        first = await limit.enter()
        waiting = asyncio.ensure_future(limit.enter())
        await asyncio.sleep(0)
        limit.leave(first, True)  # lets the waiting one in
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return limit.under_way

    assert impatiently(play())[0] == 0


@pytest.mark.parametrize("stands", [1, 3, 10, 40])
def test_a_server_that_refuses_above_a_number_is_driven_near_to_it(stands: int) -> None:
    async def play() -> tuple[float, float]:
        limit, at_once, under_way, refused, calls = AdaptiveLimit(64), list[int](), 0, 0, 0

        async def client() -> None:
            nonlocal under_way, refused, calls
            while len(at_once) < 4000:
                number, calls = await limit.enter(), calls + 1
                if under_way >= stands:
                    await asyncio.sleep(0.01)
                    refused += 1
                    limit.leave(number, False)
                    continue
                under_way += 1
                at_once.append(under_way)
                await asyncio.sleep(1)
                under_way -= 1
                limit.leave(number, True)

        await asyncio.gather(*(client() for _ in range(64)))
        settled = at_once[1000:]
        return sum(settled) / len(settled), refused / calls

    (mean, refusals), _ = impatiently(play())
    assert mean >= 0.6 * stands
    assert refusals < (0.6 if stands == 1 else 0.2)
