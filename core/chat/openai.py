"""A client of any OpenAI-compatible chat endpoint, with retries and time-outs."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx

from ..digests import digest_of
from ..errors import ConfigError, TeacherError
from .messages import ChatRequest, Reply

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
LONGEST_WAIT = 60.0


class OpenAIChat:
    """Answers requests over `POST {base_url}/chat/completions`.

    Retries time-outs, broken connections, 429 and 5xx with exponential backoff (or what `Retry-After`
    asks for); raises TeacherError after `retries` of them, or at once when the endpoint refuses.
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        try:
            httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"{base_url}: is no address ({error}); write it as http://host:port/v1") from None
        self.model = model
        self.parallel = parallel
        self.fingerprint = fingerprint or digest_of({"url": self.base_url, "model": model})
        self._extra = dict(extra or {})
        self._retries = retries
        self._backoff = backoff
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout, connect=10.0),
            limits=httpx.Limits(max_connections=parallel, max_keepalive_connections=parallel),
            transport=transport,
            trust_env=False,  # a proxy set for the wide world must not see calls to a local engine
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def __call__(self, request: ChatRequest) -> Reply:
        body = self._body(request)
        for attempt in range(self._retries + 1):
            wait = min(self._backoff * 2**attempt * (0.5 + random.random() / 2), LONGEST_WAIT)
            try:
                response = await self._client.post(f"{self.base_url}/chat/completions", json=body)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                if response.is_success:
                    return self._reply(response, request)
                problem = f"HTTP {response.status_code}: {response.text[:200]}"
                if response.status_code not in RETRIED:
                    raise TeacherError(
                        f"{self.base_url}: the model endpoint refused the request ({problem}); "
                        "check the address, the key and the model's name"
                    )
                wait = _retry_after(response) or wait
            if attempt < self._retries:
                await asyncio.sleep(wait)
        raise TeacherError(
            f"{self.base_url}: no answer after {self._retries + 1} tries ({problem}); "
            "check that the endpoint is up, then run the command again: what was answered is kept"
        )

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            **self._extra,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.json_schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": request.json_schema, "strict": True},
            }
        return body

    def _reply(self, response: httpx.Response, request: ChatRequest) -> Reply:
        try:
            payload = response.json()
            choice = payload["choices"][0]
            finish = choice.get("finish_reason")
            usage = payload.get("usage") or {}
            text = choice["message"]["content"] or ""
            if request.messages[-1].role == "assistant":  # llama.cpp repeats the text it went on from
                text = text.removeprefix(request.messages[-1].content)
            return Reply(
                text=_whole(text),
                finish=finish if finish in ("stop", "length") else "other",
                prompt_tokens=usage.get("prompt_tokens") or 0,
                completion_tokens=usage.get("completion_tokens") or 0,
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise TeacherError(
                f"{self.base_url}: answered something that is not a chat completion ({response.text[:120]!r})"
            ) from error


def _whole(text: str) -> str:
    """`text` with a sign for half an emoji, which a token limit can leave and no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that a `Retry-After` header asks for, capped; a date in it is not honoured."""
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(seconds, LONGEST_WAIT) if seconds > 0 else None  # NaN is not above 0 either
