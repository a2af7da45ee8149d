"""A load generator on plain sockets: what a client costs is taken from the server's processor."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson


class Reply(NamedTuple):
    """One answer: seconds from when it was due, HTTP status (0: the connection broke off), body, and when it came."""

    seconds: float
    status: int
    body: bytes
    at: float


class Connection(asyncio.Protocol):
    """One request after the other; an answer needs a Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.open = True

    def connection_lost(self, _: Exception | None) -> None:
        self.open = False
        self._end(0, b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (end := self._buffer.find(b"\r\n\r\n")) < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._buffer) >= end + 4 + length:
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], b""
            if b"connection: close" in head:
                self.open = False
            self._end(int(head[9:12]), body)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        if not self.open:
            return 0, b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)  # type: ignore[attr-defined]
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def _end(self, status: int, body: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))


def question(port: int, text: str, model: str = "bench", **body: object) -> bytes:
    """A whole request."""
    told = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16, **body}
    return post(port, "/v1/chat/completions", orjson.dumps(told))


def post(port: int, path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (*headers, ("Content-Length", str(len(body))))]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def connected(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def open_loop(port: int, rate: float, seconds: float, make: Callable[[int], bytes]) -> list[Reply]:
    """Ask `rate` times a second, whether answers come or not; a late start counts against the server."""
    idle: list[Connection] = []
    replies: list[Reply] = []
    start = time.perf_counter() + 0.05

    async def one(number: int) -> None:
        due = start + number / rate
        while idle and not idle[-1].open:  # the server closes what was idle for long, as clients know
            idle.pop()
        connection = idle.pop() if idle else await connected(port)
        status, body = await connection.ask(make(number))
        now = time.perf_counter()
        replies.append(Reply(now - due, status, body, now))
        if connection.open:
            idle.append(connection)

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            if (wait := start + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(one(number))
    for connection in idle:
        connection.close()
    return replies


async def closed_loop(
    port: int, connections: int, until: Callable[[int], bool], make: Callable[[int], bytes],
    heard: Callable[[Reply], None] = lambda reply: None,
) -> float:  # fmt: skip
    """Ask over `connections` at once, each anew when it was answered, as long as `until` says of the number asked.

    Returns answers with status 200 a second. A connection that breaks off is not opened again.
    """
    number, good = 0, 0
    start = time.perf_counter()

    async def one() -> None:
        nonlocal number, good
        connection = await connected(port)
        while until(number) and connection.open:
            number += 1
            begun = time.perf_counter()
            status, body = await connection.ask(make(number))
            now = time.perf_counter()
            good += status == 200
            heard(Reply(now - begun, status, body, now))
        connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return good / (time.perf_counter() - start)


def zipf(many: int, exponent: float, draw: random.Random) -> Callable[[int], int]:
    """A number from 0 to many − 1 each time, the k-th with a chance of 1/k^exponent."""
    weights = [1 / (rank**exponent) for rank in range(1, many + 1)]
    drawn = draw.choices(range(many), weights, k=100_000)
    return lambda number: drawn[number % len(drawn)]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
