"""What happened to a loop, as an event of Prefect: the triggers of `prefect.yaml` start deployments on them."""

import logging
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

from ..core.rounds import Site

Happened = Literal["candidate.registered", "corrections.collected", "drift.detected"]

log = logging.getLogger(__name__)


def announce(happened: Happened, site: Site, loop: str, key: str, **told: str | int | float) -> None:
    """Emit `wheelwork.…` about a loop; `key` names what happened, so that it is one event however often it is told.

    Only a Prefect server that stays has triggers: without one nothing is sent, and no failure ends what calls this.
    """
    if not PREFECT_API_URL.value():
        return
    name = f"wheelwork.{happened}"
    try:
        emit_event(
            event=name,
            resource={"prefect.resource.id": f"wheelwork.loop.{loop}", "prefect.resource.name": loop},
            payload={"loop": str(site.loop), "name": loop, **told},
            id=uuid5(NAMESPACE_URL, f"{name} {loop} {key}"),
        )
    except Exception as error:  # whatever Prefect's queue says: the round is worth more than its news
        log.warning("the event %s of %s was not sent (%s)", name, loop, type(error).__name__)
