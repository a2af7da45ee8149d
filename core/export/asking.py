"""Models that are asked the same questions, one after the other, so that only one is in memory at a time."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..chat.cache import CachedChat, ReplyCache, replies_to
from ..chat.messages import ChatRequest, Reply
from ..engines.base import Adapter, EngineSettings
from ..engines.llamacpp import LlamaCpp
from ..engines.transformers import Transformers
from ..evaluation.benchmark import Answered, answer_suite
from ..evaluation.suites import Suite
from ..loops import Loop
from ..models.store import ModelFiles

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Answerer:
    """Something to ask: a model, an adapter of it or none, and the engine that is to serve both."""

    name: str
    model: ModelFiles
    adapter: Adapter | None
    engine: EngineSettings


def engine_serving(loop: Loop, model: ModelFiles) -> EngineSettings:
    """The loop's engine where it can serve `model`, as llama.cpp cannot without a GGUF; else transformers."""
    engine = loop.engine_for(model)
    return Transformers() if isinstance(engine, LlamaCpp) and model.gguf is None else engine


def replies_of(
    one: Answerer, asked: Sequence[ChatRequest], cache: Path, advance: Advance = lambda done: None
) -> list[Reply]:
    """What `one` answers, in order; kept in the reply cache below `cache`, as rounds keep theirs."""

    async def ask(chat: CachedChat) -> list[Reply]:
        async with aclosing(chat):
            return await replies_to(chat, asked, lambda done: _told(advance, done))

    with _chatting(one, cache) as chat:
        return asyncio.run(ask(chat))


def answers_of(
    one: Answerer, suites: Sequence[Suite], loop: Loop, cache: Path, advance: Advance = lambda done: None
) -> list[Answered]:
    """What `one` answers to each suite, scored; `advance` hears how many answers there are."""

    async def ask(chat: CachedChat) -> list[Answered]:
        found: list[Answered] = []
        async with aclosing(chat):
            for suite in suites:
                before = sum(len(answered.replies) for answered in found)
                found.append(await answer_suite(chat, suite, loop.render, _after(before, advance)))
        return found

    with _chatting(one, cache) as chat:
        return asyncio.run(ask(chat))


@contextmanager
def _chatting(one: Answerer, cache: Path) -> Iterator[CachedChat]:
    adapters = {one.name: one.adapter} if one.adapter else {}
    with (
        closing(ReplyCache(cache / "replies.db")) as kept,
        one.engine.start(one.model, adapters, cache / "adapters") as engine,
    ):
        yield CachedChat(engine.chat(one.name if one.adapter else None), kept)


def _after(before: int, advance: Advance) -> Callable[[int], None]:
    return lambda done: _told(advance, before + done)


def _told(advance: Advance, done: int) -> None:
    advance(done)
