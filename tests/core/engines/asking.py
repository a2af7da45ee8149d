"""Requests to an engine, and its answers, without a word about asyncio."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from wheelwork.core.chat.cache import ask_all
from wheelwork.core.chat.messages import ChatRequest, Reply
from wheelwork.core.engines.base import Engine
from wheelwork.core.samples import Message

PROMPTS = ("My internet is down.", "The bill is too high!", "Why 123?", "你好")


def request(text: str, begun: str | None = None, **rest: object) -> ChatRequest:
    """A request of 12 greedy tokens unless `rest` says otherwise; `begun` is how the answer starts."""
    turns = [Message(role="user", content=text)]
    if begun is not None:
        turns.append(Message(role="assistant", content=begun))
    return ChatRequest.model_validate({"messages": tuple(turns), "max_tokens": 12, **rest})


def replies(engine: Engine, requests: Sequence[ChatRequest], adapter: str | None = None) -> list[Reply]:
    """What `adapter`, or the base, answers, in order."""

    async def ask() -> list[Reply]:
        chat = engine.chat(adapter)
        async with aclosing(chat):
            return [reply async for reply in ask_all(chat, requests)]

    return asyncio.run(ask())


def answers(engine: Engine, requests: Sequence[ChatRequest], adapter: str | None = None) -> list[str]:
    """The texts of `replies`."""
    return [reply.text for reply in replies(engine, requests, adapter)]
