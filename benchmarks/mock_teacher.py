"""A teacher that costs nothing: an OpenAI-compatible server on plain sockets, as fast and as faulty as it is told.

    python -m wheelwork.benchmarks.mock_teacher --latency 20 --limited 0.05 --malformed 0.02 --dropped 0.01 --seed 7

prints its port, listens on the loopback only, and ends after `--life` seconds. What happens to a request depends on
its body, on how often it came, and on the seed, not on who came first. `GET /stats` tells what was served.
"""

import argparse
import asyncio
import hashlib
from collections import Counter, deque
from typing import Any, NamedTuple

import orjson

FIRST, LAST = ("ro", "li", "ca", "me", "si", "pa", "wi", "so"), ("ter", "ning", "ble", "dow", "nal", "rd", "ket", "ce")
WORDS = [first + last for first in FIRST for last in LAST]
HEADERS = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
BUSY = b'{"error": {"message": "too many requests"}}'


class Manner(NamedTuple):
    """How the server treats a request: milliseconds, and shares from 0 to 1."""

    latency: float = 0.0
    limited: float = 0.0
    malformed: float = 0.0
    dropped: float = 0.0
    capacity: int = 0
    seed: int = 0
    model: str = "mock"

    @property
    def faulty(self) -> bool:
        return self.limited + self.malformed + self.dropped > 0


class Served:
    """What was served: how often each outcome, and requests that came again after their answer."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.under_way = 0
        self.most = 0
        self.came: Counter[bytes] = Counter()
        self.answered: set[bytes] = set()

    def outcome(self, manner: Manner, body: bytes) -> str:
        """One of `answered`, `limited`, `malformed`, `dropped`."""
        if manner.capacity and self.under_way >= manner.capacity:
            return "limited"
        if not manner.faulty:
            return "answered"
        digest = hashlib.blake2b(body, digest_size=16).digest()
        self.came[digest] += 1
        self.counts["repeated"] += digest in self.answered
        draw = _draw(b"%d %d %s" % (manner.seed, self.came[digest], digest))
        for name in ("limited", "malformed", "dropped"):
            if (draw := draw - getattr(manner, name)) < 0:
                return name
        self.answered.add(digest)
        return "answered"


class Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1, kept alive, one request after the other."""

    def __init__(self, manner: Manner, served: Served) -> None:
        self._manner = manner
        self._served = served
        self._buffer = b""
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._waiting.append((head.split(b" HTTP/", 1)[0], self._buffer[end + 4 : end + 4 + length]))
            self._buffer = self._buffer[end + 4 + length :]
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._busy:
            line, body = self._waiting.popleft()
            if line == b"POST /v1/chat/completions":
                self._complete(body)
            elif line == b"GET /v1/models":
                self._send(200, orjson.dumps({"data": [{"id": self._manner.model, "object": "model"}]}))
            elif line == b"GET /stats":
                self._send(200, orjson.dumps({**self._served.counts, "most_under_way": self._served.most}))
            else:
                self._send(404, b'{"error": {"message": "there is no such path"}}')

    def _complete(self, body: bytes) -> None:
        served = self._served
        outcome = served.outcome(self._manner, body)
        served.counts[outcome] += 1
        if outcome == "limited":
            return self._send(429, BUSY, b"Retry-After: 0.05\r\n")
        served.under_way += 1
        served.most = max(served.most, served.under_way)
        if not self._manner.latency:
            return self._finish(outcome, body)
        self._busy = True
        asyncio.get_running_loop().call_later(self._manner.latency / 1000, self._finish, outcome, body)

    def _finish(self, outcome: str, body: bytes) -> None:
        self._served.under_way -= 1
        self._busy = False
        if outcome == "dropped":
            return self._transport.abort()
        answer = completion(body, self._manner)
        self._send(200, answer[: len(answer) // 2] if outcome == "malformed" else answer)
        self._next()

    def _send(self, status: int, body: bytes, headers: bytes = b"") -> None:
        word = b"OK" if status == 200 else b"Trouble"
        self._transport.write(HEADERS % (status, word, len(body), headers) + body)


def completion(body: bytes, manner: Manner) -> bytes:
    """The chat completion that answers `body`: JSON with the keys of its schema, else a question and an answer."""
    asked = orjson.loads(body)
    schema = (asked.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    keys = list(schema.get("properties") or ("question", "answer"))
    texts = [_written(b"%d %d %s" % (manner.seed, index, body), keys) for index in range(asked.get("n", 1))]
    return orjson.dumps(
        {
            "id": "mock",
            "object": "chat.completion",
            "model": asked.get("model", manner.model),
            "choices": [
                {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                for index, text in enumerate(texts)
            ],
            "usage": {"prompt_tokens": len(body) // 4, "completion_tokens": sum(map(len, texts)) // 4},
        }
    )


def _written(seed: bytes, keys: list[str]) -> str:
    digest = hashlib.blake2b(seed, digest_size=64).digest()
    numbers = iter(digest * (1 + len(keys) // 8))
    return orjson.dumps({key: " ".join(WORDS[next(numbers) % len(WORDS)] for _ in range(8)) for key in keys}).decode()


def _draw(seed: bytes) -> float:
    return int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest()) / 2**64


async def serve(manner: Manner, port: int, life: float) -> None:
    """Serve on the loopback for `life` seconds; the port is printed as soon as it listens."""
    served = Served()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(manner, served), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(life)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A mock teacher; prints its port.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--life", type=float, default=600.0, help="seconds until it ends by itself")
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds before each answer")
    parser.add_argument("--limited", type=float, default=0.0, help="share of 429, with Retry-After: 0.05")
    parser.add_argument("--malformed", type=float, default=0.0, help="share of bodies that break off")
    parser.add_argument("--dropped", type=float, default=0.0, help="share of connections that break off")
    parser.add_argument("--capacity", type=int, default=0, help="calls at once above which it answers 429; 0: any")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="mock", help="the name that GET /models tells")
    options = vars(parser.parse_args())
    port, life = options.pop("port"), options.pop("life")
    asyncio.run(serve(Manner(**options), port, life))


if __name__ == "__main__":
    main()
