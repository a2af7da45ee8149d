"""Send the notices of the outbox: signed, to checked addresses, again where a receiver does not take one."""

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
from standardwebhooks import Webhook

from .... import __version__
from ...errors import ConfigError, WorkspaceError
from .addresses import PORTS, Resolve, Target, checked, resolved
from .outbox import Outbox, Waiting
from .secrets import key_of

FIRST_WAIT = 5.0  # seconds after the first failure; three times as long after each further one
LONGEST_WAIT = 6 * 3600.0
AT_ONCE = 8  # notices under way
GONE = 410  # the receiver wants nothing of it any more

log = logging.getLogger(__name__)


class Delivered(NamedTuple):
    """What became of the notices that were due. `next_due` is when the soonest of the failed ones is tried again."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0
    next_due: float | None = None


class Courier:
    """Sends what is due. Wall clock, randomness, names and environment are given, so that a test can be them."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        environment: Mapping[str, str] = os.environ,
        resolve: Resolve = resolved,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._outbox = outbox
        self._environment = environment
        self._resolve = resolve
        self._clock = clock
        self._draw = draw
        self._trust = trust

    async def deliver(self) -> Delivered:
        """One attempt at each notice that is due. Raises WorkspaceError, nothing of what a receiver does."""
        waiting = await asyncio.to_thread(self._outbox.claim, self._clock())
        if not waiting:
            return Delivered()
        slots = asyncio.Semaphore(AT_ONCE)
        async with httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            verify=self._trust or ssl.create_default_context(),
            limits=httpx.Limits(max_keepalive_connections=0),  # one host's connection is never another's
        ) as client:

            async def one(notice: Waiting) -> float | str:
                async with slots:
                    answer = await self._attempt(client, notice)
                    return await asyncio.to_thread(self._settled, notice, answer)

            ends = await asyncio.gather(*map(one, waiting))
        due = [end for end in ends if isinstance(end, float)]
        return Delivered(ends.count("sent"), len(due), ends.count("given up"), min(due, default=None))

    async def insist(self, seconds: float, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> Delivered:
        """Deliver what is due, and again what fails, for about so many seconds; what is left waits for another call."""
        until, total = self._clock() + seconds, Delivered()
        while True:
            done = await self.deliver()
            total = Delivered(total.sent + done.sent, done.failed, total.given_up + done.given_up, done.next_due)
            if done.next_due is None or done.next_due > until:
                return total
            await sleep(max(0.0, done.next_due - self._clock()))

    async def forever(self, pause: float = 5.0) -> None:
        """Deliver what is due until this is cancelled: for a gateway, which stays up."""
        while True:
            try:
                await self.deliver()
            except WorkspaceError as error:  # a full disk: what waits goes on waiting
                log.warning("%s", error)
            await asyncio.sleep(pause)

    async def _attempt(self, client: httpx.AsyncClient, notice: Waiting) -> int | str:
        """The receiver's status, or why it got nothing."""
        try:
            signed = self._signed(notice)
            async with asyncio.timeout(notice.receiver.timeout):
                target = await checked(notice.receiver.url, notice.receiver.allow_private, self._resolve)
                request = _request(client, target, signed, notice)
                response = await client.send(request, stream=True)  # of what it says nothing is read
                await response.aclose()
                return response.status_code
        except ConfigError as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {notice.receiver.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]

    def _signed(self, notice: Waiting) -> dict[str, str]:
        """The headers of an attempt that is made now. Raises ConfigError without a secret."""
        variable = notice.receiver.secret_env
        try:
            key = key_of(self._environment.get(variable, ""))
        except ValueError as error:
            raise ConfigError(f"the variable {variable} holds no secret: {error}") from None
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        return {
            "webhook-id": notice.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(key).sign(notice.id, now, notice.body),
        }

    def _settled(self, notice: Waiting, answer: int | str) -> float | str:
        """Write down what came of an attempt: `sent`, `given up`, or when it is tried again."""
        if isinstance(answer, int) and 200 <= answer < 300:
            self._outbox.sent(notice)
            return "sent"
        why = answer if isinstance(answer, str) else f"status {answer}"
        if answer == GONE or notice.attempts + 1 >= notice.receiver.attempts:
            self._outbox.given_up(notice, why)
            log.warning("notice %s to %s is given up: %s", notice.id, notice.receiver.url, why)
            return "given up"
        due = self._clock() + wait_after(notice.attempts, self._draw())
        self._outbox.later(notice, due, why)
        log.info("notice %s to %s is tried again: %s", notice.id, notice.receiver.url, why)
        return due


def wait_after(attempts: int, draw: float) -> float:
    """Seconds to wait after a failure that `attempts` others came before: 5, 15, 45 …, half to one and a half times.

    `draw` in [0, 1) spreads them, so that receivers which come back are not asked by all at once.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * 3.0 ** min(attempts, 20)) * (0.5 + draw)


def _request(client: httpx.AsyncClient, target: Target, signed: Mapping[str, str], notice: Waiting) -> httpx.Request:
    """A request to the checked address that names the host, to the server and in the check of its certificate."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    named = host if target.port == PORTS[target.scheme] else f"{host}:{target.port}"
    address = f"[{target.address}]" if ":" in target.address else target.address
    return client.build_request(
        "POST",
        f"{target.scheme}://{address}:{target.port}{target.path}",
        content=notice.body.encode(),
        headers={
            "Host": named,
            "Content-Type": "application/json",
            "User-Agent": f"wheelwork/{__version__}",
            **signed,
        },
        timeout=notice.receiver.timeout,
        extensions={"sni_hostname": target.host},
    )
