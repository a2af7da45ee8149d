"""Tell others what happened: signed webhooks, which never fail what they tell of."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.logging import get_run_logger

from ..core.loops import LoopSettings, read_settings
from ..core.naming import find_loop
from ..core.registry.moves import Moved
from ..core.rounds import Report
from ..core.serving.hooks.notices import Notice
from ..core.serving.hooks.outbox import Outbox
from ..core.serving.hooks.outgoing import Courier
from ..core.serving.hooks.settings import Receiver
from ..core.workspace import home
from .steps import recorded

PATIENCE = 30.0  # seconds that a flow goes on trying; what is left waits in the outbox for the next one


@task(**recorded("notify"))
def notify(folder: Path, notice: Notice, receivers: tuple[Receiver, ...], key: str) -> int:
    """Lay `notice` down for its receivers in the state folder `folder` and send what is due; how many were sent.

    A kill loses none: they lie in the outbox there. `key` names what happened, and is told once.
    """
    try:
        outbox = Outbox(folder)
        outbox.put(notice, receivers, key)
        done = asyncio.run(Courier(outbox).insist(PATIENCE))
    except Exception as error:  # a full disk, a damaged file: the round is worth more than its news
        get_run_logger().warning("nobody could be told of %s: %s", notice.event, error)
        return 0
    if done.failed or done.given_up:
        get_run_logger().warning("%d notices wait, %d were given up", done.failed, done.given_up)
    return done.sent


def tell_verdict(folder: Path, settings: LoopSettings, report: Report) -> None:
    """Tell of a round's verdict those that want to know it."""
    notice = Notice(
        event="round.verdict",
        at=time.time(),
        loop=report.loop,
        round=report.round,
        version=report.adapter.get("version", ""),
        verdict=report.verdict,
        reasons=report.reasons,
        link=report.mlflow.get("url", ""),
    )
    _tell(folder, settings, notice, f"{report.loop} {report.round} {report.mlflow.get('run_id', '')}")


def tell_rollback(loop: str, moved: Moved, reason: str) -> None:
    """Tell of a rollback of the loop that `loop` names; one that changed nothing is told nobody."""
    if moved.status != "rolled_back":
        return
    settings = read_settings(find_loop(loop))
    notice = Notice(
        event="champion.rolled_back",
        at=time.time(),
        loop=settings.name,
        version=str(moved.champion or "base"),
        verdict="rolled_back",
        reasons=tuple(filter(None, (reason, moved.note))),
    )
    _tell(home(), settings, notice, f"{settings.name} rollback {moved.entry}")


def tell_drift(folder: Path, settings: LoopSettings, reasons: Sequence[str], key: str) -> None:
    """Tell that users ask otherwise than they did; `key` names the questions that did."""
    notice = Notice(
        event="drift.detected", at=time.time(), loop=settings.name, verdict="drifted", reasons=tuple(reasons)
    )
    _tell(folder, settings, notice, f"{settings.name} drift {key}")


def _tell(folder: Path, settings: LoopSettings, notice: Notice, key: str) -> None:
    receivers = tuple(one for one in settings.serve.notify if notice.event in one.events)
    if receivers:
        notify(folder=folder, notice=notice, receivers=receivers, key=key)
