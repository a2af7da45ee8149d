"""What is remembered of answers, and questions that are asked once for all who wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.gateway.cache import Answer, Answers, Cache, deterministic, key_of
from wheelwork.core.serving.gateway.questions import usage_of


def answer(text: str = "yes") -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    return Answer([choice], usage_of(None), text, "stop")


class Clock:
    """Time that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Answers when it is let; counts how often it was asked."""

    def __init__(self, *ends: object) -> None:
        self.asked = 0
        self.stopped = 0
        self.go = asyncio.Event()
        self._ends = list(ends)

    async def __call__(self) -> tuple[Answer, bool]:
        self.asked += 1
        end = self._ends.pop(0) if self._ends else answer()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, Answer)
        return end, True


def run(told: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(told(), 10))  # type: ignore[arg-type]


async def waiting(answers: Answers, engine: Engine, many: int) -> list["asyncio.Task[tuple[Answer, str]]"]:
    tasks = [asyncio.create_task(answers.get(b"k", engine)) for _ in range(many)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks  # type: ignore[return-value]


@given(many=st.integers(2, 20), gone=st.sets(st.integers(0, 19)))
def test_whoever_goes_away_the_others_get_the_one_answer(many: int, gone: set[int]) -> None:
    async def told() -> None:
        answers, engine = Answers(Cache(enabled=True), Clock()), Engine()
        tasks = await waiting(answers, engine, many)
        for number in gone & set(range(many)):
            tasks[number].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        engine.go.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for number, end in enumerate(ends):
            assert isinstance(end, asyncio.CancelledError) if number in gone else end[0].text == "yes"  # type: ignore[index]
        everybody = gone >= set(range(many))
        assert engine.asked == 1 and engine.stopped == int(everybody)
        assert len(answers) == int(not everybody) and not answers._flights

    run(told)


@given(many=st.integers(1, 12), failures=st.integers(0, 14))
def test_after_a_failure_the_next_one_asks_for_the_others(many: int, failures: int) -> None:
    async def told() -> None:
        trouble = [ServingError(503, "gone", type="server_error") for _ in range(failures)]
        answers, engine = Answers(Cache(enabled=True), Clock()), Engine(*trouble)
        tasks = await waiting(answers, engine, many)
        engine.go.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [end for end in ends if isinstance(end, ServingError)]
        assert len(failed) == min(many, failures)  # each question that fails fails one caller, never two
        assert engine.asked == min(many, failures + 1)
        assert not answers._flights

    run(told)


def test_what_was_refused_is_refused_for_all_and_asked_once() -> None:
    async def told() -> None:
        answers, engine = Answers(Cache(enabled=True), Clock()), Engine(ServingError(400, "too long"))
        tasks = await waiting(answers, engine, 5)
        engine.go.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, ServingError) for end in ends) and engine.asked == 1 and not len(answers)

    run(told)


def test_nobody_joins_a_question_that_is_being_stopped() -> None:
    async def told() -> None:
        answers, engine = Answers(Cache(enabled=True), Clock()), Engine()
        (first,) = await waiting(answers, engine, 1)
        first.cancel()
        await asyncio.sleep(0)
        (second,) = await waiting(answers, engine, 1)
        engine.go.set()
        assert (await second)[1] == "miss" and engine.asked == 2

    run(told)


@given(
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("keep"), st.integers(0, 9), st.integers(0, 3000)),
            st.tuples(st.just("find"), st.integers(0, 9), st.just(0)),
            st.tuples(st.just("wait"), st.integers(0, 40), st.just(0)),
        ),
        max_size=60,
    )
)
def test_no_more_is_kept_than_was_allowed_and_nothing_old_is_given(moves: list[tuple[str, int, int]]) -> None:
    settings, clock = Cache(enabled=True, ttl=30, max_entries=4, max_bytes=6000), Clock()
    answers, told = Answers(settings, clock), dict[int, tuple[float, str]]()
    for move, number, size in moves:
        key = b"%d" % number
        if move == "keep":
            text = f"{clock.now}-{'x' * size}"
            answers.keep(key, answer(text))
            told[number] = (clock.now, text)
        elif move == "wait":
            clock.now += number
        elif (found := answers.find(key)) is not None:
            at, text = told[number]
            assert found.text == text and clock.now - at < 30
        assert len(answers) <= 4
        assert answers.bytes == sum(one.size for _, one in answers._kept.values()) <= 6000


def test_the_one_used_longest_ago_makes_room() -> None:
    answers = Answers(Cache(enabled=True, max_entries=2), Clock())
    answers.keep(b"a", answer("a"))
    answers.keep(b"b", answer("b"))
    assert answers.find(b"a") is not None
    answers.keep(b"c", answer("c"))
    assert answers.find(b"b") is None and answers.find(b"a") is not None


values = st.one_of(st.floats(0, 2), st.integers(0, 2))


@given(temperature=values, top_p=values, text=st.text(max_size=20))
def test_the_same_question_has_one_key_however_it_is_written(temperature: float, top_p: float, text: str) -> None:
    messages = [{"role": "user", "content": text}]
    one = {"temperature": temperature, "top_p": top_p, "messages": messages, "stop": "x"}
    other = {"stop": ["x"], "messages": messages, "top_p": float(top_p), "temperature": float(temperature)}
    assert key_of("r", "7", "f", "chat/completions", one, "") == key_of("r", "7", "f", "chat/completions", other, "")


@given(
    one=st.tuples(*[st.sampled_from(["", "a", "b"])] * 5, st.integers(1, 3)),
    other=st.tuples(*[st.sampled_from(["", "a", "b"])] * 5, st.integers(1, 3)),
)
def test_another_question_has_another_key(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    def key(told: tuple[str, ...]) -> bytes:
        loop, version, fingerprint, who, text, tokens = told
        body = {"max_tokens": tokens, "messages": [{"role": "user", "content": text}]}
        return key_of(loop, version, fingerprint, "chat/completions", body, who)

    assert (key(one) == key(other)) == (one == other)


@pytest.mark.parametrize(
    ("body", "same"), [({}, False), ({"temperature": 0}, True), ({"temperature": 0.1}, False), ({"seed": 0}, True)]
)
def test_only_what_is_determined_is_remembered(body: dict[str, float], same: bool) -> None:
    assert deterministic(body) is same
