"""Write candidate samples with the teacher."""

import asyncio
import time
from contextlib import ExitStack

from prefect import task

from ..core.artifacts import ArtifactStore
from ..core.chat.cache import CachedChat, ReplyCache, ask_and_close
from ..core.chat.messages import Chat
from ..core.generation.classify import plan
from ..core.loops import Loop, Overrides, load_loop
from ..core.models.store import ModelFiles, ModelStore
from ..core.rounds import Generated, Site
from ..core.teachers import EmbeddedTeacher, OpenAITeacher
from .progress import progress
from .steps import RETRIED, cached


@task(**cached("generate", version=2), **RETRIED)
def write_samples(site: Site, loop: str, round_id: str, teacher: str, samples: int, seed: int) -> Generated:
    """Ask the teacher for `samples` candidates; each reply is kept, so that a second try asks only for the rest."""
    read = load_loop(site.loop, Overrides(samples=samples))
    writing = read.writing()
    orders = plan(read.seeds, list(read.labels), writing.settings, seed)
    started = time.perf_counter()
    with ExitStack() as stack, progress("generate", len(orders)) as advance:
        cache = ReplyCache(site.cache / "replies.db")
        stack.callback(cache.close)
        chat = CachedChat(_connect(read, site, stack), cache)
        replies = asyncio.run(ask_and_close(chat, [writing.request(order) for order in orders], advance))
    source = f"teacher:{chat.fingerprint[:16]}"
    written = [
        writing.read(order, reply, origin="teacher", source=source, round=round_id)
        for order, reply in zip(orders, replies, strict=True)
    ]
    return Generated(
        samples=ArtifactStore(site.artifacts).write_samples(written),
        calls=chat.calls,
        reused=chat.hits,
        completion_tokens=chat.completion_tokens,
        seconds=time.perf_counter() - started,
        teacher=teacher,
    )


def _connect(loop: Loop, site: Site, stack: ExitStack) -> Chat:
    """The loop's teacher; an embedded one runs until `stack` closes."""
    teacher = loop.settings.teacher
    if isinstance(teacher, OpenAITeacher):
        return teacher.connect()
    model = _embedded(loop, teacher)
    engine = stack.enter_context(loop.engine_for(model).start(model, {}, site.cache / "adapters"))
    return engine.chat(exact=True)  # a resumed round writes what an uninterrupted one would have


def _embedded(loop: Loop, teacher: EmbeddedTeacher) -> ModelFiles:
    return ModelStore().get(loop.model_ref(teacher.model or loop.settings.model))


def teacher_fingerprint(loop: Loop) -> str:
    """Names who will write, without starting it."""
    teacher = loop.settings.teacher
    if isinstance(teacher, OpenAITeacher):
        return teacher.connect().fingerprint
    model = _embedded(loop, teacher)
    return loop.engine_for(model).fingerprint(model)
