"""Have the base answer the loop's general prompts, for training to keep what it could do before."""

import asyncio
import time
from contextlib import closing

from prefect import task

from ..core.artifacts import ArtifactStore
from ..core.chat.cache import CachedChat, ReplyCache, ask_and_close
from ..core.chat.messages import Reply
from ..core.generation.rehearsal import rehearse, rehearsed
from ..core.loops import load_loop
from ..core.models.store import ModelStore
from ..core.rounds import Rehearsed, Site
from .progress import progress
from .steps import RETRIED, cached


@task(**cached("rehearse", version=1), **RETRIED)
def answer_rehearsal(site: Site, prompts: str, engine: str) -> Rehearsed:
    """Greedy answers of the base to every rehearsal prompt; `engine` is the fingerprint of base and engine."""
    loop, store = load_loop(site.loop), ArtifactStore(site.artifacts)
    started = time.perf_counter()
    replies: list[Reply] = []
    if loop.rehearsal:
        model = ModelStore().get(loop.model_ref(loop.settings.model))
        with (
            closing(ReplyCache(site.cache / "replies.db")) as cache,
            loop.engine_for(model).start(model, {}, site.cache / "adapters") as serving,
            progress("rehearse", len(loop.rehearsal)) as advance,
        ):
            chat = CachedChat(serving.chat(exact=True), cache)
            replies = asyncio.run(ask_and_close(chat, [rehearse(prompt) for prompt in loop.rehearsal], advance))
    samples = rehearsed(loop.rehearsal, replies, source=f"base:{engine[:16]}")
    return Rehearsed(samples=store.write_samples(samples), seconds=time.perf_counter() - started)
