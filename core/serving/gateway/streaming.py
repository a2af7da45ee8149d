"""An answer in pieces, as server-sent events: each chunk under our names, and put together for the record."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from ..parts import Lease
from .cache import Answer
from .questions import Question, no_answer, usage_of
from .replies import Header, Send

EVENTS: tuple[Header, ...] = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))


async def streamed(
    question: Question, lease: Lease, pieces: AsyncIterator[dict[str, Any]], send: Send, headers: Sequence[Header]
) -> Answer:
    """Send an engine's chunks on as they come; all but the closing `[DONE]`, which follows the record.

    Nothing is sent before the first chunk, so that an engine that fails at once is an HTTP error. Raises ServingError.
    """
    head, finish = question.head(lease), ""
    usage: dict[str, Any] = usage_of(None)
    async with aclosing(pieces) as chunks:  # type: ignore[type-var]  # closing it stops the engine's work
        async for chunk in chunks:
            if not question.begun:
                question.first = time.perf_counter() - question.started
                await _begin(question, send, headers)
            if chunk.get("usage"):
                usage = usage_of(chunk["usage"])
            if choices := chunk.get("choices"):
                finish = choices[0].get("finish_reason") or finish
                question.pieces.append(_text(choices[0]))
                await _send(send, head | {"choices": choices}, question.asked.include_usage)
    if not question.begun:
        raise no_answer()
    if question.asked.include_usage:
        await _send(send, head | {"choices": [], "usage": usage})
    return _answer(question, usage, finish or "stop")


async def replayed(answer: Answer) -> AsyncIterator[dict[str, Any]]:
    """The chunks of an answer that is known already."""
    for choice in answer.choices:
        index, finish = choice["index"], choice["finish_reason"]
        if "message" in choice:
            yield {"choices": [{"index": index, "delta": choice["message"], "finish_reason": None}]}
            yield {"choices": [{"index": index, "delta": {}, "finish_reason": finish}], "usage": answer.usage}
        else:
            yield {
                "choices": [{"index": index, "text": choice["text"], "finish_reason": finish}],
                "usage": answer.usage,
            }


async def _begin(question: Question, send: Send, headers: Sequence[Header]) -> None:
    question.begun = True
    await send({"type": "http.response.start", "status": 200, "headers": [*EVENTS, *headers]})


async def _send(send: Send, chunk: Mapping[str, Any], usage_later: bool = False) -> None:
    told = {**chunk, "usage": None} if usage_later else chunk
    await send({"type": "http.response.body", "body": b"data: " + orjson.dumps(told) + b"\n\n", "more_body": True})


def _text(choice: Mapping[str, Any]) -> str:
    delta = choice.get("delta")
    return (delta.get("content") if delta is not None else choice.get("text")) or ""


def _answer(question: Question, usage: dict[str, Any], finish: str) -> Answer:
    text = "".join(question.pieces)
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
    if question.asked.path == "chat/completions":
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    return Answer([choice], usage, text, finish)
