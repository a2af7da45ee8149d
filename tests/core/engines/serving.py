"""Requests in OpenAI's form to a serving engine, and its answers, without a word about asyncio."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from wheelwork.core.engines.base import Engine, Route

T = TypeVar("T")
CHAT: Route = "chat/completions"


def body(text: str, **rest: Any) -> dict[str, Any]:
    """12 greedy tokens unless `rest` says otherwise."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 12, "temperature": 0} | rest


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 300))


async def said(engine: Engine, asked: dict[str, Any], adapter: str | None = None, path: Route = CHAT) -> str:
    """The text of the first choice."""
    return text_of((await engine.answer(path, asked, adapter))["choices"][0])


async def streamed(
    engine: Engine, asked: dict[str, Any], adapter: str | None = None, path: Route = CHAT
) -> list[dict[str, Any]]:
    async with aclosing(engine.stream(path, asked, adapter)) as chunks:
        return [chunk async for chunk in chunks]


def joined(chunks: list[dict[str, Any]], choice: int = 0) -> str:
    """The pieces of one choice, put together."""
    return "".join(text_of(one) for chunk in chunks for one in chunk["choices"] if one["index"] == choice)


def text_of(choice: dict[str, Any]) -> str:
    if "text" in choice:
        return str(choice["text"])
    return (choice.get("message") or choice.get("delta") or {}).get("content") or ""
