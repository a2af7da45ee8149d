"""A client of any OpenAI-compatible chat endpoint, with retries, time-outs and a limit that adapts."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import orjson
from yarl import URL

from ..digests import digest_of
from ..errors import ConfigError, TeacherError
from .limits import AdaptiveLimit
from .messages import ChatRequest, Choice, Reply
from .transport import ConnectionTrouble, Received, Sent, Transport, connections_to

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
OVERLOADED = {408, 429, 500, 502, 503, 504}
LONGEST_WAIT = 60.0


class _Trouble(NamedTuple):
    """What to tell if no later try goes better; seconds to wait, if the endpoint said so."""

    sentence: str
    wait: float | None = None


class OpenAIChat:
    """Answers requests over `POST {base_url}/chat/completions`.

    Retries time-outs, broken connections, 429, 5xx and bodies that are no JSON, with exponential backoff (or what
    `Retry-After` asks for); raises TeacherError after `retries` of them, or at once when the endpoint refuses.
    `parallel` is the most calls at once: `limit` begins with a few and follows what the endpoint stands.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str = "",
        *,
        fingerprint: str = "",
        parallel: int = 8,
        extra: Mapping[str, Any] | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        backoff: float = 0.5,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        if not api_key.isascii() or not api_key.isprintable():
            raise ConfigError(f"{base_url}: the key holds a line break or another sign that no key has; set it anew")
        try:
            address = URL(self.base_url)
            if address.scheme not in ("http", "https") or not address.host:
                raise ValueError("it has no host" if address.scheme in ("http", "https") else "it is not http")
        except ValueError as error:
            raise ConfigError(f"{base_url}: is no address ({error}); write it as http://host:port/v1") from None
        self.model = model
        self.parallel = parallel
        self.fingerprint = fingerprint or digest_of({"url": self.base_url, "model": model})
        self.limit = AdaptiveLimit(parallel)
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._extra = dict(extra or {})
        self._retries = retries
        self._backoff = backoff
        self._clock = clock
        self._connections = connections_to(address, parallel, timeout)
        self._transport: Transport = transport or self._connections

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def __call__(self, request: ChatRequest) -> Reply:
        body = self.body(request)
        attempt = 0
        while isinstance(outcome := await self._try(body, request), _Trouble):
            if attempt >= self._retries:
                raise TeacherError(outcome.sentence)
            backoff = min(self._backoff * 2**attempt * (0.5 + random.random() / 2), LONGEST_WAIT)
            await asyncio.sleep(outcome.wait or backoff)
            attempt += 1
        return outcome

    async def exchange(self, method: str, path: str, body: bytes = b"") -> Received:
        """One HTTP call below `base_url`, with the key, without retries. Raises ConnectionTrouble."""
        return await self._transport(Sent(method, f"{self.base_url}{path}", self._headers, body))

    async def _try(self, body: bytes, request: ChatRequest) -> Reply | _Trouble:
        call, answered = await self.limit.enter(), None
        try:
            received = await self.exchange("POST", "/chat/completions", body)
            answered = True if _is_success(received) else False if received.status in OVERLOADED else None
        except ConnectionTrouble as trouble:
            answered = False if trouble.late else None
            return self._passing(str(trouble))
        finally:
            self.limit.leave(call, answered)
        if _is_success(received):
            return self._read(received, request)
        problem = f"HTTP {received.status}: {received.text[:200]}"
        if received.status in RETRIED:
            return self._passing(problem, _retry_after(received, self._clock()))
        raise TeacherError(
            f"{self.base_url}: the model endpoint refused the request ({problem}); "
            "check the address, the key and the model's name"
        )

    def _passing(self, problem: str, wait: float | None = None) -> _Trouble:
        return _Trouble(
            f"{self.base_url}: no answer after {self._retries + 1} tries ({problem}); "
            "check that the endpoint is up, then run the command again: what was answered is kept",
            wait,
        )

    def body(self, request: ChatRequest) -> bytes:
        """What is posted for `request`."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            **self._extra,
        }
        if request.choices > 1:
            body["n"] = request.choices
        if request.stop:
            body["stop"] = list(request.stop)
        if request.json_schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": request.json_schema, "strict": True},
            }
        return orjson.dumps(body)

    def _read(self, received: Received, request: ChatRequest) -> Reply | _Trouble:
        """The reply; trouble when the body breaks off. Raises TeacherError when it is whole and no completion."""
        try:
            payload = parsed(received.body)
        except (ValueError, RecursionError):
            return _Trouble(self._no_completion(received))
        try:
            return _reply(payload, request)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TeacherError(self._no_completion(received)) from error

    def _no_completion(self, received: Received) -> str:
        return (
            f"{self.base_url}: answered something that is not a chat completion ({received.text[:120]!r}); "
            "check that the address is that of an OpenAI-compatible API, up to and with /v1"
        )


def _is_success(received: Received) -> bool:
    return 200 <= received.status < 300


def parsed(body: bytes) -> Any:
    """The JSON in `body`. Raises ValueError for what is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)  # knows half an emoji, which orjson refuses


def _reply(payload: Any, request: ChatRequest) -> Reply:
    echo = request.messages[-1].content if request.messages[-1].role == "assistant" else ""
    usage = payload.get("usage") or {}
    first, *others = (Choice(**_choice(choice, echo)) for choice in payload["choices"][: request.choices])
    counted = usage.get("completion_tokens") or 0
    if others and counted and counted == (payload.get("timings") or {}).get("predicted_n"):
        counted += _tokens_of(others, first, counted, request.max_tokens)
    return Reply(
        text=first.text,
        finish=first.finish,
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=counted,
        more=tuple(others),
    )


def _tokens_of(others: Sequence[Choice], first: Choice, counted: int, limit: int) -> int:
    """About how many tokens `others` have: llama.cpp, known by its `timings`, counts the first choice alone.

    One that was cut has `limit`; the rest as many for their length as the first.
    """
    share = counted / max(1, len(first.text.encode()))
    return sum(
        limit if choice.finish == "length" else min(limit, round(share * len(choice.text.encode())))
        for choice in others
    )


def _choice(choice: Any, echo: str) -> dict[str, Any]:
    finish = choice.get("finish_reason")
    text = choice["message"]["content"] or ""
    if echo:  # llama.cpp repeats the text it went on from
        text = text.removeprefix(echo)
    return {"text": whole(text), "finish": finish if finish in ("stop", "length") else "other"}


def whole(text: str) -> str:
    """`text` with a sign for half an emoji, which a token limit can leave and no file can hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _retry_after(received: Received, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date (`now` in Unix time), capped."""
    header = received.headers.get("retry-after", "")
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except (ValueError, TypeError):
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    return min(seconds, LONGEST_WAIT) if seconds > 0 else None  # NaN is not above 0 either
