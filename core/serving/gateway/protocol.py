"""What a connection may do before it is a request: the size of the head, the time it takes, how many there are.

uvicorn's fast parser has no limits of its own for these.
"""

import asyncio
from asyncio import TimerHandle
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ...errors import ServingError
from .replies import JSON, SAFE, error_body
from .settings import Door


class TooLong(Exception):
    """The head of a request is larger than the door allows."""


class Gathered:
    """A transport that writes once for all that is written in one turn of the event loop: uvicorn writes a head and a
    body one after the other, and each write is a call of the system."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if self._transport.is_closing():  # who asked went away in between
                return
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol with a door before it. A subclass that `guarded` makes has the settings."""

    door: ClassVar[Door] = Door()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._timer: TimerHandle | None = None
        self._head = self._pending = 0  # bytes of the head: parsed, and come while it is not whole
        self._reading = self._in_head = self._over = False
        super().connection_made(Gathered(transport, self.loop))  # type: ignore[arg-type]
        self._wait(self.door.idle_seconds)
        if len(self.connections) > self.door.connections:
            self._refuse(503, "too many connections are open here")

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._reading and self._timer is None:  # most requests come whole, and need no timer
            self._wait(self.door.read_seconds)
        if self._in_head:
            self._pending += len(data)
            if self._pending > self.door.head_bytes:  # one line that goes on and on is parsed at its end only
                self._too_long()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP; the parser also comes here when a head is too long."""
        if self._over:
            self._too_long()
        else:
            self._refuse(400, "this is not a valid HTTP request")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = self._in_head = True
        self._head = self._pending = 0
        self._wait(None)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading = False
        self._wait(None)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing is upgraded here, and nothing is said of it: anybody could fill the log."""

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self.door.head_bytes:
            self._over = True
            raise TooLong  # the parser ends with `send_400_response`

    def _too_long(self) -> None:
        self._refuse(431, f"the head of a request may have {self.door.head_bytes} bytes")

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._reading:
            self._refuse(408, f"the request did not arrive within {self.door.read_seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Say why, unless an answer has begun, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = error_body(ServingError(status, message, code="bad_request"))
            headers = (*SAFE, JSON, (b"content-length", b"%d" % len(body)), (b"connection", b"close"))
            lines = [STATUS_LINE[status], *(b"%s: %s\r\n" % pair for pair in headers), b"\r\n", body]
            self.transport.write(b"".join(lines))
        self.transport.close()


def guarded(door: Door) -> type[Any]:
    """The protocol with these settings."""
    return type("Guarded", (Guarded,), {"door": door})
