"""Answers and errors as bytes, in OpenAI's form, with the headers that every answer has."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson

from ...errors import ServingError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

SAFE: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
TROUBLE = "something went wrong here; who runs the gateway finds it in its log"
JSON: Header = (b"content-type", b"application/json")


def error_body(error: ServingError) -> bytes:
    """OpenAI's error object."""
    told = {"message": str(error), "type": error.type, "param": error.param, "code": error.code}
    return orjson.dumps({"error": told})


def error_headers(error: ServingError) -> list[Header]:
    headers: list[Header] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status in (408, 413, 431):  # the rest of the request may still come, and would be taken for another
        headers.append((b"connection", b"close"))
    return headers


async def send_json(send: Send, body: bytes, status: int = 200, headers: Sequence[Header] = ()) -> None:
    """One whole answer."""
    told = [JSON, (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ServingError) -> None:
    await send_json(send, error_body(error), error.status, error_headers(error))


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The body of a request. Raises ServingError: 413 above `most` bytes, 499 when the caller went away."""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > most):
            raise too_large(most)
    message = await receive()
    body: bytes = message.get("body", b"")
    parts, size = [body], len(body)
    while message.get("more_body"):
        if size > most:
            raise too_large(most)
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if message["type"] == "http.disconnect":
        raise ServingError(499, "the caller went away")
    if size > most:
        raise too_large(most)
    return body if len(parts) == 1 else b"".join(parts)


def too_large(most: int) -> ServingError:
    return ServingError(413, f"the body is larger than the {most} bytes that a request may have", code="too_large")


def header(scope: Scope, wanted: bytes) -> str:
    """The value of a header, empty without one; of several the first."""
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return ""
