"""The gateway of real parts: hosting over MLflow's registry, traffic in its database, canaries, webhooks from Prefect.

Neither MLflow nor Prefect is needed to start or to serve: what needs them waits until they answer.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from ..core.serving.exchange import Exchange, Feedback
from ..core.serving.gateway.application import application
from ..core.serving.gateway.asked_parts import Intent
from ..core.serving.gateway.keys import StoredKeys
from ..core.serving.gateway.prompting import Prompter
from ..core.serving.gateway.settings import GatewaySettings
from ..core.serving.hooks.incoming import Hooked, Hooks
from ..core.serving.hooks.secrets import Secrets
from ..core.serving.hooks.seen import Seen
from ..core.serving.hosting.host import Host
from ..core.serving.hosting.parts import Hosted
from ..core.serving.parts import Health
from ..core.traffic.archive import Archive
from ..core.traffic.gauges import Gauges
from ..core.traffic.recorder import Recorder
from .background import ServedLoop, work
from .hooks import Starter
from .releases import MlflowReleases

if TYPE_CHECKING:
    from ..core.loops import Loop
    from ..core.serving.canary.canary import Canary

LABELLED = 5000  # questions whose labels are counted
REMEMBERED = 20_000  # exchanges that feedback finds again for a trial


@asynccontextmanager
async def opened(served: Sequence[ServedLoop], home: Path, keys: StoredKeys) -> AsyncIterator[FastAPI]:
    """The gateway for as long as it is entered; its engines start in the background."""
    loops = {one.loop.name: one for one in served}
    settings = {name: one.loop.settings.serve for name, one in loops.items()}
    recorder = Recorder(home, {name: serve.traffic for name, serve in settings.items()})
    canaries = {name: _canary(name, serve.canary, home) for name, serve in settings.items()}
    hosted = [
        Hosted.of(one.loop, one.base, MlflowReleases(name, home), settings[name].hosting, canaries[name])
        for name, one in loops.items()
    ]
    async with AsyncExitStack() as stack:
        stack.callback(recorder.close)
        for canary in canaries.values():
            stack.callback(canary.close)
        host = await stack.enter_async_context(Host(hosted, home))
        seen, starter = Seen(home), Starter(home)
        stack.callback(seen.close)
        hooks = Hooks(
            {name: Hooked(settings[name].hooks, one.ref) for name, one in loops.items()},
            Secrets(home), seen, starter, host.nudge,
        )  # fmt: skip
        gauges = Gauges(Archive.of(home), {name: serve.traffic for name, serve in settings.items()})
        tasks = (*work(loops, canaries, host, home, starter), gauges.forever())
        beside = [asyncio.create_task(one) for one in tasks]
        try:
            yield application(
                host,
                Heard(recorder, canaries),
                GatewaySettings(
                    {name: serve.limits for name, serve in settings.items()},
                    {name: serve.cache for name, serve in settings.items()},
                    prompters={name: _prompter(one.loop) for name, one in loops.items()},
                ),
                keys,
                hooks,
                Labels(home),
                hashed=recorder.hashed,
                shown=[gauges],
            )
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


class Heard:
    """Traffic that is recorded, and that the canary of its loop hears of too."""

    def __init__(self, recorder: Recorder, canaries: "Mapping[str, Canary]") -> None:
        self._recorder, self._canaries = recorder, canaries
        self._recent: OrderedDict[str, Exchange] = OrderedDict()

    def record(self, exchange: Exchange) -> None:
        self._recorder.record(exchange)
        if (canary := self._canaries.get(exchange.loop)) is not None:
            canary.observe(exchange)
            self._recent[exchange.id] = exchange
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)

    def feedback(self, feedback: Feedback) -> None:
        """See `Traffic`; what the recorder refuses no canary hears of."""
        self._recorder.feedback(feedback)
        exchange = self._recent.get(feedback.exchange)
        if exchange is not None:
            self._canaries[exchange.loop].feedback(exchange, feedback)

    def health(self) -> Health:
        """The recorder's, and degraded where a canary could not write."""
        own = self._recorder.health()
        troubled = [told.note for told in (canary.health() for canary in self._canaries.values()) if told.state != "ok"]
        if not troubled or own.state == "down":
            return own
        return Health(own.part, "degraded", "; ".join([*filter(None, [own.note]), *troubled]))

    def counts(self) -> Mapping[str, int]:
        return self._recorder.counts()


class Labels:
    """The labels that `collect` gave to recent questions, counted; the database is asked in a thread."""

    def __init__(self, home: Path) -> None:
        self._archive = Archive.of(home)

    async def intents(self, loop: str, hours: float, limit: int) -> Sequence[Intent]:
        found = await asyncio.to_thread(self._archive.intents, loop, LABELLED, time.time() - hours * 3600)
        counts, latest = Counter(one.label for one in found), dict[str, float]()
        for one in found:
            latest[one.label] = max(one.at, latest.get(one.label, 0.0))
        return [Intent(label, count, latest[label]) for label, count in counts.most_common(limit)]


def _prompter(loop: "Loop") -> Prompter:
    """Questions about passages are put as they are sent: the caller alone knows which passage is meant."""
    settings = loop.settings.serve.prompting
    alone = settings.prompt == "task" and not loop.material.passages
    return Prompter(settings.temperature, loop.writing().ask if alone else None)


def _canary(loop: str, settings: Any, home: Path) -> "Canary":
    from ..core.serving.canary.canary import Canary
    from ..core.serving.canary.journaling import through
    from ..core.serving.canary.state import State

    @cache
    def effects() -> Any:
        """Opened at the first move: importing MLflow takes seconds, and most starts move nothing."""
        from .registry import moves_of

        return through(moves_of(loop, home))

    return Canary(
        loop, settings, State(home, loop), time.time,
        lambda *told: effects()[0](*told), lambda decision: effects()[1](decision),
    )  # fmt: skip
