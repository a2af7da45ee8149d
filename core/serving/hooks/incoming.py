"""From a webhook to an answer: verified, allowed, started once.

Nothing is remembered before the run was started, so that a delivery which ended in a kill or at a Prefect that is down
may come again; and every run has the delivery's name as its idempotency key, so that coming again starts no second.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from ...errors import ConfigError, ServingError, WheelworkError, WorkspaceError
from .reading import parameters_of
from .secrets import LoopSecrets, Secrets
from .seen import Before, Seen
from .settings import OURS, HookSettings, Rule, Scalar
from .verifying import Delivery, sender_of, verified

Start = Callable[[str, Mapping[str, Scalar], str], Awaitable[str]]
"""Starts a deployment with parameters under an idempotency key, and gives the run's link."""

Answer = tuple[int, dict[str, str], dict[str, Any]]
"""HTTP status, headers, and the body as JSON."""

PATIENCE = 10.0  # seconds that Prefect may take; senders wait for 10 to 30
AGAIN = 30.0  # seconds after which a sender should try again

log = logging.getLogger(__name__)


class Hooked(NamedTuple):
    """A loop that takes webhooks: its settings, and what its flows take as `loop`."""

    settings: HookSettings
    ref: str


class Hooks:
    """Takes the webhooks of `loops`, by name.

    `nudge` is told of a loop whose registry changed, by MLflow's own webhooks.
    """

    def __init__(
        self,
        loops: Mapping[str, Hooked],
        secrets: Secrets,
        seen: Seen,
        start: Start,
        nudge: Callable[[str], None] = lambda loop: None,
        patience: float = PATIENCE,
    ) -> None:
        self._loops = loops
        self._secrets = secrets
        self._seen = seen
        self._start = start
        self._nudge = nudge
        self._patience = patience
        self._under_way: dict[str, tuple[asyncio.Lock, list[None]]] = {}  # delivery → its lock, one for each that asks

    def most_bytes(self, loop: str) -> int:
        """The largest body that is worth reading; whoever reads the request should stop there."""
        return self._loops[loop].settings.most_bytes if loop in self._loops else 0

    async def handle(self, loop: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one delivery: 202 with the link of a new run, 200 with that of the run that it started before.

        Errors have OpenAI's form: 401 signature or age, 404 no such loop, 409 an id that came with another body, 413
        size, 422 an event or a parameter that is not allowed, 503 with Retry-After where nothing could be started.
        """
        try:
            return await self._handled(loop, headers, body)
        except ServingError as error:
            waiting = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
            told = {"message": str(error), "type": error.type, "param": error.param, "code": error.code}
            return error.status, waiting, {"error": told}

    async def _handled(self, loop: str, headers: Mapping[str, str], body: bytes) -> Answer:
        hooked = self._loops.get(loop)
        if hooked is None:
            raise _nothing_here()
        if len(body) > hooked.settings.most_bytes:
            raise ServingError(413, f"the body has more than {hooked.settings.most_bytes} bytes", code="body_too_large")
        lower = {name.lower(): value for name, value in headers.items()}
        sender, secrets = sender_of(lower), self._secrets_of(loop)
        taken = (*hooked.settings.senders, "mlflow") if hooked.settings.events else ("mlflow",)
        if sender not in taken or not secrets.of(sender):
            raise _nothing_here()
        delivery = verified(sender, secrets, lower, body)
        async with self._one_at_a_time(f"{loop} {sender} {delivery.name}"):
            before = await self._before(loop, delivery)
            if before is not None and before.link:
                return 200, {}, {"status": "repeated", "id": delivery.id, "event": delivery.event, "link": before.link}
            if sender == "mlflow":
                return await self._nudged(loop, delivery)
            return await self._started(loop, hooked, delivery)

    async def _before(self, loop: str, delivery: Delivery) -> Before | None:
        """How the same delivery came before. Raises ServingError (409) where it was another that has its name."""
        before: Before | None = await self._kept(self._seen.find, loop, delivery)
        if before is not None and (before.digest, before.event) != (delivery.digest, delivery.event):
            raise ServingError(409, "this delivery came before, with another body or event", code="delivery_conflict")
        return before

    async def _nudged(self, loop: str, delivery: Delivery) -> Answer:
        data = delivery.body.get("data")
        ours = isinstance(data, dict) and data.get("name") == loop
        if ours:
            self._nudge(loop)
        await self._kept(self._seen.add, loop, delivery)
        return 202, {}, {"status": "noticed" if ours else "ignored", "id": delivery.id, "event": delivery.event}

    async def _started(self, loop: str, hooked: Hooked, delivery: Delivery) -> Answer:
        told = {"id": delivery.id, "event": delivery.event}
        if delivery.sender == "github" and delivery.event == "ping":
            return 200, {}, {"status": "pong", **told}
        rule = _rule(hooked.settings, delivery)
        if rule is None:
            # GitHub signs no event: what came as one that is refused must not come again as one that is not
            await self._kept(self._seen.add, loop, delivery)
            raise ServingError(422, "this loop starts nothing on this event", code="event_not_allowed")
        parameters = {**parameters_of(rule, delivery.body), OURS: hooked.ref}
        link = await self._link(loop, rule, parameters, delivery)
        log.info("%s: %s of %s started %s: %s", loop, delivery.event, delivery.sender, rule.deployment, link)
        try:
            await self._kept(self._seen.add, loop, delivery, link)
        except ServingError:  # it runs: to say otherwise would be wrong, and coming again starts no second
            log.warning("%s: delivery %s was started and could not be written down", loop, delivery.id)
        return 202, {}, {"status": "started", **told, "link": link}

    async def _link(self, loop: str, rule: Rule, parameters: Mapping[str, Scalar], delivery: Delivery) -> str:
        try:
            async with asyncio.timeout(self._patience):
                return await self._start(rule.deployment, parameters, idempotency_key(loop, delivery))
        except Exception as error:  # whatever it is, the sender is told to come again, and nothing of ours
            why = str(error) if isinstance(error, WheelworkError) else type(error).__name__
            log.warning("%s: %s could not be started for delivery %s: %s", loop, rule.deployment, delivery.id, why)
            raise ServingError(
                503, "the run could not be started now; send the delivery again later", type="server_error",
                code="not_started", retry_after=AGAIN,
            ) from error  # fmt: skip

    def _secrets_of(self, loop: str) -> LoopSecrets:
        try:
            return self._secrets.of(loop)
        except (ConfigError, OSError) as error:
            log.error("%s: no webhook can be verified: %s", loop, error)
            raise ServingError(
                503, "no webhook can be verified now", type="server_error", code="no_secrets", retry_after=AGAIN
            ) from error

    async def _kept(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Ask the file of deliveries beside the other requests. Raises ServingError (503): without it none is taken."""
        try:
            return await asyncio.to_thread(act, *arguments)
        except WorkspaceError as error:
            log.error("%s", error)
            raise ServingError(
                503, "deliveries cannot be kept now; send it again later", type="server_error", code="not_kept",
                retry_after=AGAIN,
            ) from error  # fmt: skip

    @asynccontextmanager
    async def _one_at_a_time(self, name: str) -> AsyncIterator[None]:
        """The same delivery twice at once: the second waits for what comes of the first."""
        lock, asking = self._under_way.setdefault(name, (asyncio.Lock(), []))
        asking.append(None)
        try:
            async with lock:
                yield
        finally:
            asking.pop()
            if not asking:
                del self._under_way[name]


def idempotency_key(loop: str, delivery: Delivery) -> str:
    """What Prefect knows the delivery's run by. The delivery's id, which the sender signs; of GitHub's the body."""
    named = f"{loop} {delivery.sender} {delivery.name}"
    return f"webhook-{hashlib.sha256(named.encode()).hexdigest()}"


def _rule(settings: HookSettings, delivery: Delivery) -> Rule | None:
    """The rule of `workflow_run.completed`; else, of GitHub's, that of `workflow_run`."""
    found = settings.events.get(delivery.event)
    if found is None and delivery.sender == "github":
        found = settings.events.get(delivery.event.split(".")[0])
    return found


def _nothing_here() -> ServingError:
    return ServingError(404, "no webhooks of this kind are taken here", code="no_such_hook")
