"""What a gateway does beside answering: decides about trials, has replies judged, tells others, starts collections."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import WheelworkError
from ..core.models.store import ModelFiles
from ..core.serving.canary.canary import Canary
from ..core.serving.canary.judging import ReplyJudge, keep_judging
from ..core.serving.canary.trial import Decision
from ..core.serving.hooks.notices import Notice
from ..core.serving.hooks.outbox import Outbox
from ..core.serving.hooks.outgoing import Courier
from ..core.serving.hooks.settings import Receiver
from ..core.serving.hosting.host import Host
from ..core.teaching import Teachers
from ..core.traffic.archive import Archive
from .hooks import Starter

if TYPE_CHECKING:
    from ..core.loops import Loop

LOOK = 1.0  # seconds between two looks at who is on trial
COUNT = 10.0  # seconds between two counts of the corrections that wait
COLLECT = "collect/collect"  # the deployment
log = logging.getLogger(__name__)


class ServedLoop(NamedTuple):
    """A loop with its base on this machine, and the folder that Prefect's flows are given."""

    loop: "Loop"
    base: ModelFiles
    ref: str


def work(
    loops: Mapping[str, ServedLoop], canaries: Mapping[str, Canary], host: Host, home: Path, starter: Starter
) -> Iterator[Coroutine[Any, Any, None]]:
    """Everything that goes on until it is cancelled; loops and canaries by name."""
    outbox, archive = Outbox(home), Archive.of(home)
    for name, one in loops.items():
        serve = one.loop.settings.serve
        yield _deciding(canaries[name], host, outbox, serve.notify)
        if serve.canary.judge.share:
            yield keep_judging(canaries[name], partial(_judge, one.loop, home))
        yield _collecting(one, archive, starter)
    yield Courier(outbox).forever()


async def _deciding(canary: Canary, host: Host, outbox: Outbox, receivers: tuple[Receiver, ...]) -> None:
    """Decide about who is on trial, once a second; what goes wrong is in the log, and is tried again."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            decided = await asyncio.to_thread(canary.decide)
            for decision in decided:
                log.warning("%s: %s", canary.loop, decision.sentence)
                await asyncio.to_thread(_tell, canary.loop, decision, outbox, receivers)
        except WheelworkError as error:
            log.error("%s", error)
            continue
        if decided:
            with suppress(WheelworkError):
                host.nudge(canary.loop)


def _tell(loop: str, decision: Decision, outbox: Outbox, receivers: tuple[Receiver, ...]) -> None:
    notice = Notice(
        event="canary.decided", at=decision.at, loop=loop, version=decision.candidate, verdict=decision.act,
        reasons=(decision.sentence,),
    )  # fmt: skip
    if any(notice.event in one.events for one in receivers):
        outbox.put(notice, receivers, f"{loop} canary {decision.candidate} {decision.at}")


async def _collecting(served: ServedLoop, archive: Archive, starter: Starter) -> None:
    """Start a collection by count: the schedule would come to as many corrections minutes later.

    Once for a count: what a collection leaves waiting does not start the next. Without a Prefect nothing is started.
    """
    name, enough = served.loop.name, served.loop.settings.serve.traffic.collect.corrections
    started = 0
    while True:
        await asyncio.sleep(COUNT)
        try:
            waiting = int((await asyncio.to_thread(archive.pending, name, time.time()))["corrections"])
            started = min(started, waiting)
            if waiting - started >= enough:
                await starter(COLLECT, {"loop": served.ref}, f"collect {name} {time.time():.0f}")
                started = waiting
        except WheelworkError as error:
            log.info("%s: no collection was started (%s)", name, error)
        except Exception:  # the database is away: the recorder tells of it
            log.debug("%s: the corrections that wait were not counted", name, exc_info=True)


def _judge(loop: "Loop", home: Path, stack: ExitStack) -> ReplyJudge:
    """The loop's teachers in the role `judge`, who spend from `funnel.budget` as its other judges do."""
    from .teacher import resolve_block  # which imports Prefect

    teachers = Teachers(loop.settings.teachers("judge"), loop.embedded, loop.engine_for, resolve_block)
    chat = teachers.open(home / "cache", loop.settings.funnel.budget, stack).chat
    return ReplyJudge(chat, loop.settings.language, loop.folder / "prompts")
