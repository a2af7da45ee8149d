"""The whole client against the mock teacher of the benchmarks, faults and all."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from wheelwork.benchmarks.mock_teacher import Manner, Served
from wheelwork.core.chat.cache import CachedChat, ReplyCache, ask_all
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.chat.openai import OpenAIChat
from wheelwork.core.chat.preflight import reachable
from wheelwork.core.chat.transport import Received, Sent
from wheelwork.core.chat.wire import Wire
from wheelwork.core.errors import ConfigError, TeacherError
from wheelwork.core.samples import Message

ROOT = Path(__file__).parents[2]


@contextmanager
def mock_teacher(**manner: float) -> Iterator[str]:
    """The address of a server that ends with the block."""
    options = [word for name, value in manner.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.mock_teacher", "--life", "120", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.terminate()


def stats(url: str) -> dict[str, int]:
    async def get() -> Received:
        connections = Wire(10.0)
        try:
            return await connections(Sent("GET", f"{url.removesuffix('/v1')}/stats", {}))
        finally:
            await connections.aclose()

    counts: dict[str, int] = json.loads(asyncio.run(get()).body)
    return counts


def ask(number: int, **rest: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=f"Write question {number}."),), seed=number, **rest)


async def each(chat: CachedChat, requests: list[ChatRequest]) -> list[Reply | TeacherError]:
    """What each request brought, a reply or the reason why there is none."""

    class Told:
        parallel = chat.parallel

        async def __call__(self, request: ChatRequest) -> Reply | TeacherError:
            try:
                return await chat(request)
            except TeacherError as error:
                return error

    try:
        return [outcome async for outcome in ask_all(Told(), requests)]
    finally:
        await chat.aclose()


def test_every_request_is_answered_or_has_a_reason_and_no_answered_one_is_repeated(tmp_path: Path) -> None:
    requests = [ask(number) for number in range(2000)]
    with mock_teacher(limited=0.05, malformed=0.02, dropped=0.01, seed=7) as url:
        for answered_before in (0, 2000):
            cache = ReplyCache(tmp_path / "replies.db")
            chat = CachedChat(OpenAIChat(url, "mock", parallel=32, backoff=0.01), cache)
            outcomes = asyncio.run(each(chat, requests))
            replies = [outcome for outcome in outcomes if isinstance(outcome, Reply)]
            failed = [str(outcome) for outcome in outcomes if isinstance(outcome, TeacherError)]
            assert len(outcomes) == 2000
            assert len(failed) <= 1 and all("no answer after" in reason for reason in failed)
            assert all({"question", "answer"} == json.loads(reply.text).keys() for reply in replies)
            assert len({reply.text for reply in replies}) == len(replies)
            assert len(cache) == len(replies)
            assert chat.hits >= answered_before - 1
            cache.close()
        counts = stats(url)
    assert counts["answered"] == len(replies)
    assert counts.get("repeated", 0) == 0
    assert 70 <= counts["limited"] <= 140
    assert 25 <= counts["malformed"] <= 60
    assert 8 <= counts["dropped"] <= 40


def test_trouble_that_does_not_end_is_told_for_each_request(tmp_path: Path) -> None:
    with mock_teacher(limited=0.2, malformed=0.3, dropped=0.5) as url:
        chat = CachedChat(OpenAIChat(url, "mock", retries=2, backoff=0.001), ReplyCache(tmp_path / "replies.db"))
        outcomes = asyncio.run(each(chat, [ask(number) for number in range(20)]))
        assert stats(url).get("answered", 0) == 0
    assert all(isinstance(outcome, TeacherError) for outcome in outcomes)


def test_an_endpoint_that_stands_few_calls_at_once_is_given_few(tmp_path: Path) -> None:
    with mock_teacher(capacity=6, latency=5) as url:
        chat = OpenAIChat(url, "mock", parallel=32, retries=50, backoff=0.01)
        outcomes = asyncio.run(each(CachedChat(chat, ReplyCache(tmp_path / "replies.db")), list(map(ask, range(400)))))
        counts = stats(url)
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert chat.limit.value <= 8
    assert counts["most_under_way"] == 6
    assert counts["limited"] < 200


def test_choices_and_the_keys_of_a_schema() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}, "summary": {"type": "string"}}}

    async def play(url: str) -> Reply:
        chat = OpenAIChat(url, "mock")
        try:
            await reachable(chat)
            return await chat(ask(1, choices=3, json_schema=schema))
        finally:
            await chat.aclose()

    with mock_teacher() as url:
        reply = asyncio.run(play(url))
    texts = [choice.text for choice in reply.choices]
    assert len(set(texts)) == 3
    assert all(json.loads(text).keys() == {"text", "summary"} for text in texts)


def test_a_preflight_finds_out_over_real_sockets() -> None:
    async def play(url: str, model: str) -> None:
        chat = OpenAIChat(url, model)
        try:
            await reachable(chat)
        finally:
            await chat.aclose()

    with mock_teacher() as url:
        asyncio.run(play(url, "mock"))
        with pytest.raises(ConfigError, match="does not serve this model"):
            asyncio.run(play(f"{url}/elsewhere", "unheard-of"))
    with pytest.raises(TeacherError, match="cannot be reached"):
        asyncio.run(play(url, "mock"))


def test_what_happens_follows_from_seed_body_and_try_alone() -> None:
    manner = Manner(limited=0.2, malformed=0.2, dropped=0.2, seed=3)
    bodies = [b"%d" % number for number in range(300)]

    def outcomes(manner: Manner, bodies: list[bytes]) -> dict[bytes, str]:
        served = Served()
        return {body: served.outcome(manner, body) for body in bodies}

    assert outcomes(manner, bodies) == outcomes(manner, bodies[::-1])
    assert outcomes(manner, bodies) != outcomes(manner._replace(seed=4), bodies)
