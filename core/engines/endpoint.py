"""What the gateway asks an engine that speaks OpenAI's protocol near by, and what its errors mean to a caller."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from yarl import URL

from ..chat.openai import parsed, whole
from ..chat.streaming import Streams
from ..chat.transport import ConnectionTrouble, Received, Sent, connections_to
from ..errors import ServingError
from .base import Body, Route

LONGEST_ANSWER = 600.0  # seconds
LONGEST_MESSAGE = 500
TOO_LONG = ("context size", "context length", "maximum model length")
DEFAULTS = {"temperature": 1.0, "top_p": 1.0}
"""What OpenAI's protocol says where a request says nothing; engines have other ideas of their own."""


class Endpoint:
    """An engine below `base_url` (up to and with /v1), with connections that are kept.

    At most `parallel` calls are under way; the others wait here, where giving up costs nothing.
    """

    def __init__(
        self, base_url: str, api_key: str = "", *, timeout: float = LONGEST_ANSWER, parallel: int = 64
    ) -> None:
        self._base_url = base_url
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._calls = connections_to(URL(base_url), parallel, timeout)
        self._streams = Streams(timeout)
        self._places = asyncio.Semaphore(parallel)

    async def answer(self, path: Route, body: Body, name: str) -> dict[str, Any]:
        """The reply, said to be of the model `name`. Raises ServingError."""
        sent = self._sent(path, body)
        async with self._places:
            received = await self._again(self._calls, sent)
        reply = _read(received.body)
        if received.status != 200 or "choices" not in reply:
            raise refused(received.status, reply)
        reply.pop("timings", None)  # llama.cpp's own
        reply["model"] = name
        return reply

    async def stream(self, path: Route, body: Body, name: str) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks up to the one with `usage`. Raises ServingError."""
        sent = self._sent(path, dict(body) | {"stream": True, "stream_options": {"include_usage": True}})
        async with self._places:
            events = await self._again(self._streams, sent)
            if isinstance(events, Received):
                raise refused(events.status, _read(events.body))
            try:
                async with aclosing(events):
                    async for event in events:
                        if event == b"[DONE]":
                            return
                        chunk = _read(event)
                        if "choices" not in chunk:
                            raise refused(_status(chunk), chunk)
                        chunk.pop("timings", None)
                        chunk["model"] = name
                        yield chunk
            except ConnectionTrouble as trouble:
                raise gone(trouble) from trouble
        raise gone(ConnectionTrouble(ConnectionError("the answer broke off")))

    def close(self) -> None:
        """From any thread; what is under way is broken off by the engine's end."""
        self._streams.close()

    def _sent(self, path: Route, body: Body) -> Sent:
        return Sent("POST", f"{self._base_url}/{path}", self._headers, _written(dict(DEFAULTS) | dict(body)))

    async def _again(self, ask: Any, sent: Sent) -> Any:
        """Ask once more where a kept connection was closed by the other side just as it was used."""
        try:
            return await ask(sent)
        except ConnectionTrouble as trouble:
            if trouble.late:
                raise gone(trouble) from trouble
        try:
            return await ask(sent)
        except ConnectionTrouble as trouble:
            raise gone(trouble) from trouble


def gone(trouble: ConnectionTrouble) -> ServingError:
    """What a caller is told when no whole answer came."""
    if trouble.late:
        return ServingError(504, "the model took too long to answer; ask for fewer tokens", type="timeout_error")
    return ServingError(
        503, "the model's engine is not there at the moment; ask again in a few seconds",
        type="server_error", code="engine_unavailable", retry_after=2.0,
    )  # fmt: skip


def refused(status: int, reply: dict[str, Any]) -> ServingError:
    """What a caller is told when the engine answered with an error: its own words, if they are about the request."""
    error = reply.get("error")
    error = error if isinstance(error, dict) else {}
    said = str(error.get("message") or "")[:LONGEST_MESSAGE]
    if error.get("type") == "exceed_context_size_error" or (status == 400 and any(words in said for words in TOO_LONG)):
        return ServingError(400, said, code="context_length_exceeded", param="messages")
    if status in (408, 504):
        return gone(ConnectionTrouble(TimeoutError(), late=True))
    if status in (429, 503):
        return ServingError(503, "the model is busy or being loaded; ask again in a second", type="server_error",
                            code="engine_overloaded", retry_after=1.0)  # fmt: skip
    if status == 404:
        return ServingError(404, said or "no such model", code="model_not_found", param="model")
    # llama.cpp says 500 for pictures and sounds that the model does not take
    if status in (400, 413, 422) or (status == 500 and "is not supported" in said):
        return ServingError(400, said or "the engine does not take this request")
    return ServingError(502, "the model's engine could not answer this request", type="server_error")


def _status(chunk: dict[str, Any]) -> int:
    """The status that an error in the midst of a stream would have had before it."""
    code = error.get("code") if isinstance(error := chunk.get("error"), dict) else None
    return code if isinstance(code, int) else 500


def _read(body: bytes) -> dict[str, Any]:
    """What an engine said; nothing where it is no object of JSON."""
    try:
        read = parsed(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    try:
        orjson.dumps(read)
    except TypeError:
        return _mended(read)
    return read


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # or a number beyond 64 bits, which JSON may well have
        return json.dumps(_mended(body)).encode()


def _mended(payload: dict[str, Any]) -> dict[str, Any]:
    """With a sign for half an emoji, which a caller or a token limit can leave and no reader takes."""
    mended: dict[str, Any] = json.loads(whole(json.dumps(payload, ensure_ascii=False)))
    return mended
