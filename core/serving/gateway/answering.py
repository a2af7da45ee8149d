"""The way of a question: who answers it, with which engine, whether the answer is known; and what is kept of it."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from ...errors import ServingError
from ..parts import Hosting, Lease, Traffic
from .bodies import Asked, Path, read_question
from .cache import Answer, Answers, How, deterministic, key_of
from .keys import Caller
from .limits import Uses
from .metrics import Figures
from .names import Pseudonyms, meant, name_of, unknown
from .patience import UNWATCHED, Patience
from .questions import End, Question, new_id, read_reply
from .replies import TROUBLE, Header, Receive, Scope, Send, error_body, header, read_body, send_json
from .settings import GatewaySettings, Limits
from .shadows import Shadows
from .streaming import replayed, streamed

LONGEST_NAME = 256  # characters of a user's or conversation's name in a header
DEFAULT = Limits()
log = logging.getLogger(__name__)


class Answering:
    """Answers what `/v1/chat/completions` and `/v1/completions` are asked."""

    def __init__(
        self, hosting: Hosting, traffic: Traffic, settings: GatewaySettings, figures: Figures,
        hashed: Callable[[str], str], clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._hosting, self._traffic, self._settings, self._figures = hosting, traffic, settings, figures
        self._pseudonyms, self._clock = Pseudonyms(hashed), clock
        self._uses = Uses(time.monotonic)
        self._answers = {
            loop: Answers(cache, time.monotonic) for loop, cache in settings.caches.items() if cache.enabled
        }
        self.shadows = Shadows(hosting, self.remember, figures)

    async def __call__(self, path: Path, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer one request. Raises ServingError as long as nothing was sent."""
        started, at = time.perf_counter(), self._clock()
        asked = read_question(path, await read_body(scope, receive, self._settings.door.body_bytes))
        loop, wanted = meant(asked.model, self._hosting.loops)
        limits = self._limits(loop)
        asked = asked.checked(limits)
        if (prompter := self._settings.prompters.get(loop)) is not None:
            asked = prompter(asked)
        with self._room(caller, loop, limits):
            question = self._question(asked, caller, scope, loop, wanted, started, at)
            await self._answered(question, receive, send, limits)
        if question.routed.shadow is not None:
            self.shadows.ask(question, limits)

    def remember(self, question: Question, end: End, shadow_of: str | None = None) -> None:
        """Count and record what became of a question; the trouble of a record is not the caller's."""
        exchange = question.exchange(end, shadow_of)
        self._figures.answer(
            exchange.loop, exchange.version, exchange.role, exchange.status, exchange.latency, exchange.first_token,
            exchange.prompt_tokens, exchange.completion_tokens,
        )  # fmt: skip
        try:
            self._traffic.record(exchange)
        except Exception:
            log.exception("the exchange %s was not recorded", exchange.id)

    def _question(
        self, asked: Asked, caller: Caller, scope: Scope, loop: str, wanted: str | None, started: float, at: float
    ) -> Question:
        name = self._pseudonyms
        user = name(caller.key, "user", header(scope, b"x-wheelwork-user")[:LONGEST_NAME] or asked.user)
        spoken = header(scope, b"x-wheelwork-conversation")[:LONGEST_NAME]
        conversation = name(caller.key, "conversation", spoken)
        id = new_id(asked.path)
        sticky = user or conversation or id  # of somebody unknown each question goes its own way
        try:
            routed = self._hosting.route(loop, wanted, sticky)
        except ServingError as error:
            if error.status == 404:  # in OpenAI's words, whatever the hosting's
                raise unknown(asked.model, [one.loop for one in self._hosting.served()]) from None
            raise
        return Question(asked, id, at, started, loop, wanted, sticky, caller.key, user, conversation, routed)

    async def _answered(self, question: Question, receive: Receive, send: Send, limits: Limits) -> None:
        watch = 0.0 if question.asked.stream else UNWATCHED
        try:
            async with Patience(receive, limits.seconds, watch), Leased(self._hosting, question) as lease:
                await (self._stream if question.asked.stream else self._whole)(question, lease, send)
        except Exception as error:
            told = error if isinstance(error, ServingError) else ServingError(500, TROUBLE, type="server_error")
            self.remember(question, End(question.routed.version, question.routed.role, error=told))
            if not question.begun:
                raise
            if told is not error:
                log.exception("the answer %s broke off", question.id)
            await send({"type": "http.response.body", "body": b"data: " + error_body(told) + b"\n\n"})

    async def _whole(self, question: Question, lease: Lease, send: Send) -> None:
        answer, how = await self._got(question, lease)
        reply = question.head(lease) | {"choices": answer.choices, "usage": answer.usage}
        self._done(question, lease, answer, how)
        await send_json(send, orjson.dumps(reply), headers=self._headers(question, lease, how))

    async def _stream(self, question: Question, lease: Lease, send: Send) -> None:
        cache, key = self._cache(question, lease), b""
        how: How | None = None
        if cache is not None:
            key = self._key(question, lease, cache)
            kept = cache.find(key)
            how = "hit" if kept else "miss"
        pieces = replayed(kept) if cache is not None and kept else self._pieces(question, lease)
        answer = await streamed(question, lease, pieces, send, self._headers(question, lease, how))
        if cache is not None and how == "miss":
            cache.keep(key, answer)
        self._done(question, lease, answer, how)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _pieces(self, question: Question, lease: Lease) -> AsyncIterator[dict[str, Any]]:
        return lease.engine.stream(question.asked.path, question.asked.body, lease.adapter)

    async def _got(self, question: Question, lease: Lease) -> tuple[Answer, How | None]:
        if (cache := self._cache(question, lease)) is None:
            return await _ask(question, lease), None

        async def ask() -> tuple[Answer, bool]:
            # a lease of its own: the question may outlive the request that began it
            async with self._hosting.lease(question.loop, lease.version) as own:
                return await _ask(question, own), own.fingerprint == lease.fingerprint

        return await cache.get(self._key(question, lease, cache), ask)

    def _cache(self, question: Question, lease: Lease) -> Answers | None:
        body = question.asked.body
        return self._answers.get(question.loop) if deterministic(body) and not body.get("logprobs") else None

    def _key(self, question: Question, lease: Lease, cache: Answers) -> bytes:
        who = "" if cache.settings.across_keys else question.key
        asked = question.asked
        return key_of(question.loop, lease.version, lease.fingerprint, asked.path, asked.body, who)

    def _done(self, question: Question, lease: Lease, answer: Answer, how: How | None) -> None:
        if how is not None:
            self._figures.cache(question.loop, how)
        cached = how in ("hit", "shared")
        self.remember(question, End(lease.version, question.routed.role, answer, cached))

    def _headers(self, question: Question, lease: Lease, how: How | None) -> list[Header]:
        version = name_of("", lease.version)[1:].encode("latin-1", "replace")
        headers = [(b"x-wheelwork-version", version)]
        if how is not None:
            headers.append((b"x-wheelwork-cache", how.encode()))
        return headers

    def _room(self, caller: Caller, loop: str, limits: Limits) -> AbstractContextManager[None]:
        if not caller.key:  # no keys here: only this machine asks
            return nullcontext()
        return self._uses.one(caller.key, loop, limits, caller.rate, caller.parallel)

    def _limits(self, loop: str) -> Limits:
        return self._settings.limits.get(loop, DEFAULT)


class Leased:
    """An engine for a question; where its version went away in between, for the version that follows it."""

    __slots__ = ("_held", "_hosting", "_question")

    def __init__(self, hosting: Hosting, question: Question) -> None:
        self._hosting, self._question = hosting, question

    async def __aenter__(self) -> Lease:
        question = self._question
        try:
            return await self._hold()
        except ServingError as error:
            if error.status != 404 or question.wanted is not None:
                raise
            question.routed = self._hosting.route(question.loop, None, question.sticky)
            return await self._hold()

    async def __aexit__(self, *raised: Any) -> None:
        await self._held.__aexit__(*raised)

    async def _hold(self) -> Lease:
        self._held = self._hosting.lease(self._question.loop, self._question.routed.version)
        return await self._held.__aenter__()


async def _ask(question: Question, lease: Lease) -> Answer:
    asked = question.asked
    return read_reply(asked.path, await lease.engine.answer(asked.path, asked.body, lease.adapter))
