"""The client of chat endpoints: what it sends, what it tries again, and what it tells when that does not help."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from wheelwork.core.chat.cache import ask_all
from wheelwork.core.chat.messages import ChatRequest, Choice, Reply
from wheelwork.core.chat.openai import OpenAIChat
from wheelwork.core.chat.transport import ConnectionTrouble, Received, Sent
from wheelwork.core.digests import digest_of
from wheelwork.core.errors import ConfigError, TeacherError
from wheelwork.core.samples import Message
from wheelwork.tests.fakes import impatiently

URL = "http://teacher.test/v1"
LATE = ConnectionTrouble(TimeoutError("gone"), late=True)
REFUSED = ConnectionTrouble(ConnectionRefusedError("gone"))
BROKEN = ConnectionTrouble(ConnectionResetError("gone"))
Answer = Received | ConnectionTrouble


def ask(text: str = "hi", **rest: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), **rest)


def said(text: Any, finish: str = "stop", **rest: Any) -> Received:
    return said_all((text, finish), **rest)


def said_all(*replies: tuple[Any, str], **rest: Any) -> Received:
    choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": why} for text, why in replies]
    return Received(200, body=json.dumps({"choices": choices, **rest}).encode())


class Endpoint:
    """Gives `answers` one after the other, the last one for ever, and keeps the requests it got."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[Sent] = []

    async def __call__(self, sent: Sent) -> Received:
        self.requests.append(sent)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Received):
            return answer
        raise answer

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for request in self.requests]


def chat(endpoint: Callable[[Sent], Awaitable[Received]], **settings: Any) -> OpenAIChat:
    settings = {"backoff": 0, "api_key": "s3cret"} | settings
    return OpenAIChat(URL, "big", transport=endpoint, **settings)


def call(endpoint: Endpoint, request: ChatRequest | None = None, **settings: Any) -> Reply:
    return impatiently(chat(endpoint, **settings)(request or ask()))[0]


def test_the_whole_request_is_sent_with_the_key() -> None:
    endpoint = Endpoint(said("yes"))
    request = ask("hello", max_tokens=9, temperature=0.5, top_p=0.9, seed=4)
    call(endpoint, request, extra={"lora": [{"id": 0, "scale": 1.0}]})
    (sent,) = endpoint.requests
    assert (sent.method, sent.url) == ("POST", "http://teacher.test/v1/chat/completions")
    assert sent.headers["Authorization"] == "Bearer s3cret"
    assert endpoint.bodies == [
        {
            "model": "big",
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 4,
            "lora": [{"id": 0, "scale": 1.0}],
        }
    ]


def test_an_endpoint_without_a_key_gets_no_authorization() -> None:
    endpoint = Endpoint(said("yes"))
    call(endpoint, api_key="")
    assert "Authorization" not in endpoint.requests[0].headers


def test_stop_and_json_schema_are_sent() -> None:
    endpoint, schema = Endpoint(said("{}")), {"type": "object"}
    call(endpoint, ask(stop=("\n", "END"), json_schema=schema))
    assert endpoint.bodies[0]["stop"] == ["\n", "END"]
    assert endpoint.bodies[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }


def test_the_reply_carries_text_finish_and_tokens() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 3}
    reply = call(Endpoint(said("a b c", "length", usage=usage)))
    assert reply == Reply(text="a b c", finish="length", prompt_tokens=11, completion_tokens=3)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (said(None, "tool_calls"), Reply(text="", finish="other")),
        (said("x", "stop", usage=None), Reply(text="x")),
        (said("x", "stop", usage={"prompt_tokens": None}), Reply(text="x")),
        (said("half \ud83d", "length"), Reply(text="half \ufffd", finish="length")),  # cut within an emoji
    ],
)
def test_what_endpoints_leave_out_or_cut_is_no_error(answer: Received, reply: Reply) -> None:
    assert call(Endpoint(answer)) == reply


@pytest.mark.parametrize(
    ("answered", "kept"),
    [("My Wi-Fi is gone", " is gone"), (" is gone", " is gone"), ("Is My Wi-Fi gone", "Is My Wi-Fi gone")],
)
def test_an_echo_of_the_text_to_go_on_from_is_cut(answered: str, kept: str) -> None:
    request = ChatRequest(
        messages=(Message(role="user", content="Write."), Message(role="assistant", content="My Wi-Fi"))
    )
    assert call(Endpoint(said(answered)), request).text == kept


def test_several_choices_are_asked_for_and_read() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    request = ChatRequest(
        messages=(Message(role="user", content="Write."), Message(role="assistant", content="My")), choices=3
    )
    endpoint = Endpoint(said_all(("My cat", "stop"), (" dog", "length"), (None, "tool_calls"), usage=usage))
    reply = call(endpoint, request)
    assert endpoint.bodies[0]["n"] == 3
    assert reply.choices == (Choice(text=" cat"), Choice(text=" dog", finish="length"), Choice(text="", finish="other"))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (" cat", 9, 4)


@pytest.mark.parametrize(
    ("timings", "counted"),
    [
        ({"predicted_n": 4}, 4 + 8 + 50 + 0),  # llama.cpp: twice as long, cut at the limit, empty
        ({"predicted_n": 12}, 4),  # one that counts all choices
        (None, 4),
    ],
)
def test_tokens_of_choices_that_llama_cpp_does_not_count_are_estimated(timings: Any, counted: int) -> None:
    choices = (("a cat sat", "stop"), ("a cat sat, a dog s", "stop"), ("a", "length"), (None, "stop"))
    endpoint = Endpoint(said_all(*choices, usage={"completion_tokens": 4}, timings=timings))
    assert call(endpoint, ask(choices=4, max_tokens=50)).completion_tokens == counted


@pytest.mark.parametrize(("given", "kept"), [(1, 1), (2, 2), (3, 2)])
def test_fewer_choices_than_asked_for_are_taken_and_more_are_left(given: int, kept: int) -> None:
    reply = call(Endpoint(said_all(*[("a", "stop")] * given)), ask(choices=2))
    assert len(reply.choices) == kept


def test_one_choice_is_not_named() -> None:
    endpoint = Endpoint(said("yes"))
    call(endpoint)
    assert "n" not in endpoint.bodies[0]


def test_the_key_of_a_request_is_what_it_was_before_there_were_choices() -> None:
    request = ask("光猫", temperature=0.7, json_schema={"type": "object"})
    asked = {
        "messages": [{"role": "user", "content": "光猫"}],
        "max_tokens": 64,
        "temperature": 0.7,
        "top_p": 1.0,
        "seed": 0,
        "stop": [],
        "json_schema": {"type": "object"},
    }
    assert request.key("f") == digest_of({"model": "f", "request": asked})
    assert request.key("f") != ask("光猫", temperature=0.7, json_schema={"type": "object"}, choices=2).key("f")
    huge = {"maximum": 2**70}
    assert ask(json_schema=huge).key("f") == digest_of(
        {"model": "f", "request": ask(json_schema=huge).model_dump(mode="json", exclude={"choices"})}
    )


def test_only_a_continuation_is_cut() -> None:
    assert call(Endpoint(said("hi there")), ask("hi")).text == "hi there"


@pytest.mark.parametrize(
    "trouble",
    [
        *(Received(status) for status in (408, 429, 500, 502, 503, 504)),
        *(Received(200, body=body) for body in (b"", b"<html>welcome</html>", b'{"choices": [{"mess', b"\xff\xfe")),
        LATE,
        REFUSED,
        BROKEN,
    ],
)
def test_what_may_pass_is_tried_again(trouble: Answer) -> None:
    endpoint = Endpoint(trouble, trouble, said("at last"))
    assert call(endpoint).text == "at last"
    assert len(endpoint.requests) == 3
    assert endpoint.bodies[0] == endpoint.bodies[2]


@pytest.mark.parametrize(
    ("trouble", "what"), [(Received(503, body=b"busy"), "HTTP 503: busy"), (LATE, "TimeoutError: gone")]
)
def test_what_does_not_pass_is_told_after_the_last_try(trouble: Answer, what: str) -> None:
    endpoint = Endpoint(trouble)
    with pytest.raises(TeacherError, match=rf"^{URL}: no answer after 3 tries \({what}.*check that the endpoint is up"):
        call(endpoint, retries=2)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 301])
def test_a_refusal_is_told_at_once(status: int) -> None:
    endpoint = Endpoint(Received(status, body=b"no such key"))
    with pytest.raises(TeacherError, match=rf"{URL}: .*refused .*HTTP {status}: no such key.*check"):
        call(endpoint)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0.5", 0.5), ("3600", 60), ("inf", 60), ("-5", 0), ("nan", 0), ("soon", 0)]
)
def test_retry_after_is_honoured_up_to_a_minute(header: str, seconds: float) -> None:
    endpoint = Endpoint(Received(429, {"retry-after": header}), said("yes"))
    reply, took = impatiently(chat(endpoint)(ask()))
    assert reply.text == "yes"
    assert took == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Sun, 22 Nov 2026 10:00:07 GMT", 7),
        ("Sun, 22 Nov 2026 12:00:07 +0200", 7),
        ("Sun, 22 Nov 2026 10:00:07 -0000", 7),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 60),
        ("Sun, 22 Nov 2026 09:59:59 GMT", 0),
    ],
)
def test_retry_after_may_be_a_date(header: str, seconds: float) -> None:
    endpoint = Endpoint(Received(429, {"retry-after": header}), said("yes"))
    now = datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()
    assert impatiently(chat(endpoint, clock=lambda: now)(ask()))[1] == pytest.approx(seconds, abs=0.2)


def test_the_waits_between_tries_grow() -> None:
    times: list[float] = []

    async def busy(sent: Sent) -> Received:
        times.append(asyncio.get_running_loop().time())
        return Received(503)

    with pytest.raises(TeacherError):
        impatiently(chat(busy, backoff=1, retries=8)(ask()))
    waits = [after - before for before, after in pairwise(times)]
    for wait, longest in zip(waits, (1, 2, 4, 8, 16, 32, 60, 60), strict=True):
        assert longest / 2.2 <= wait <= longest + 0.2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"[1]",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": ["x"]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}',
        b'{"choices": [{"message": {"content": "a"}}], "usage": [1]}',
        b'{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": "many"}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_chat_completion_is_told(body: bytes) -> None:
    with pytest.raises(TeacherError, match=rf"^{URL}: answered something that is not a chat completion"):
        call(Endpoint(Received(200, body=body)))


def test_a_body_that_stays_broken_is_told_after_the_last_try() -> None:
    endpoint = Endpoint(Received(200, body=b"<html>welcome"))
    with pytest.raises(TeacherError, match=r"not a chat completion \('<html>welcome'\); check"):
        call(endpoint, retries=2)
    assert len(endpoint.requests) == 3


def test_json_that_is_no_completion_is_told_at_once() -> None:
    endpoint = Endpoint(Received(200, body=b'{"error": "no"}'))
    with pytest.raises(TeacherError, match="not a chat completion"):
        call(endpoint)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("key", ["s3cret\n", "s3\r\nX-Other: 1", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_at_the_door(key: str) -> None:
    with pytest.raises(ConfigError, match="the key holds a line break"):
        OpenAIChat(URL, "big", key)


@pytest.mark.parametrize("url", ["http://[::1/v1", "http://host:many/v1", "http://", "host/v1", "ftp://host/v1"])
def test_an_address_that_is_none_is_refused_at_the_door(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        OpenAIChat(url, "big")


def test_a_fingerprint_tells_endpoints_and_models_apart() -> None:
    assert OpenAIChat(URL, "big").fingerprint == OpenAIChat(URL + "/", "big").fingerprint
    assert len({OpenAIChat(u, m).fingerprint for u in (URL, URL + "2") for m in ("big", "small")}) == 4
    assert OpenAIChat(URL, "big", fingerprint="weights").fingerprint == "weights"


@pytest.mark.parametrize(("parallel", "calls", "most"), [(1, 5, 1), (3, 10, 3), (8, 4, 4)])
def test_no_more_calls_are_under_way_than_parallel(parallel: int, calls: int, most: int) -> None:
    under_way, seen = 0, []

    async def slow(sent: Sent) -> Received:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return said(json.loads(sent.body)["messages"][0]["content"])

    async def all_of(requests: Iterable[ChatRequest]) -> list[str]:
        return [reply.text async for reply in ask_all(chat(slow, parallel=parallel), list(requests))]

    texts = [str(number) for number in range(calls)]
    assert impatiently(all_of(map(ask, texts)))[0] == texts
    assert max(seen) == most
