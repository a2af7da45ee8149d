"""Ask base, champion and candidate every question of every suite, through the engine that serves."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing, closing
from pathlib import Path

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.chat.cache import CachedChat, ReplyCache
from ..core.engines.base import Adapter, Engine
from ..core.evaluation.benchmark import Answered, answer_suite
from ..core.evaluation.suites import Suite
from ..core.loops import Loop, load_loop
from ..core.models.store import ModelStore
from ..core.rounds import Champion, Results, Site, SuiteAnswers
from .progress import Advance, progress
from .steps import RETRIED, cached

BASE, CHAMPION, CANDIDATE = "base", "champion", "candidate"


@task(**cached("benchmark", version=2), **RETRIED)
def answer_suites(
    site: Site, candidate: Artifact, champion: Champion | None, suites: dict[str, str], prompts: str, engine: str
) -> Results:
    """Greedy answers of each model to each suite, scored; `engine` is the fingerprint of base and engine."""
    loop, store = load_loop(site.loop), ArtifactStore(site.artifacts)
    model = ModelStore().get(loop.model_ref(loop.settings.model))
    adapters = {CANDIDATE: Adapter.at(store.fetch_folder(candidate))}
    if champion is not None:
        adapters[CHAMPION] = Adapter.at(Path(champion.folder))
    models = [BASE, *([CHAMPION] if champion else []), CANDIDATE]
    questions = len(models) * sum(len(suite.items) for suite in loop.suites.values())
    started = time.perf_counter()
    with (
        closing(ReplyCache(site.cache / "replies.db")) as cache,
        loop.engine_for(model).start(model, adapters, site.cache / "adapters") as serving,
        progress("benchmark", questions) as advance,
    ):
        answered, calls, reused = asyncio.run(_answer_all(serving, models, loop, cache, advance))
    return Results(
        suites={name: _stored(store, loop.suites[name], by_model) for name, by_model in answered.items()},
        calls=calls,
        reused=reused,
        seconds=time.perf_counter() - started,
    )


async def _answer_all(
    engine: Engine, models: list[str], loop: Loop, cache: ReplyCache, advance: Advance
) -> tuple[dict[str, dict[str, Answered]], int, int]:
    """Answers by suite and model. One model after the other: switching adapters empties the engine's prompt cache."""
    answered: dict[str, dict[str, Answered]] = {name: {} for name in loop.suites}
    done, calls, reused = 0, 0, 0
    for model in models:
        chat = CachedChat(engine.chat(None if model == BASE else model), cache)
        async with aclosing(chat):
            for name, suite in loop.suites.items():
                before = done
                answered[name][model] = await answer_suite(
                    chat, suite, loop.render, lambda count, before=before: advance(before + count)
                )
                done = before + len(suite.items)
        calls, reused = calls + chat.calls, reused + chat.hits
    return answered, calls, reused


def _stored(store: ArtifactStore, suite: Suite, by_model: Mapping[str, Answered]) -> SuiteAnswers:
    return SuiteAnswers(
        scores={model: store.write_json(list(answers.values)) for model, answers in by_model.items()},
        tables={model: store.write_json(answers.table(suite)) for model, answers in by_model.items()},
        means={model: answers.mean for model, answers in by_model.items()},
        n=len(suite.items),
        digest=suite.digest,
    )
