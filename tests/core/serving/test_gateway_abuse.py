"""Whatever is sent, the gateway answers with a sentence or closes: never a 5xx, never a path or a traceback."""

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from wheelwork.core.serving.gateway.settings import Door, GatewaySettings
from wheelwork.tests.gateway import ASKED, EchoEngine, FakeHosting, Gateway

MANY = 10_000
TELLTALES = (b"Traceback", b'File "', b"/home", b"/work", b"site-packages", b".py", b"wheelwork.core")
WHOLE = orjson.dumps(ASKED)
ODD = [
    "\\ud800", "\\udc00\\ud800", "\\u0000", "\x00", "\ufeff", "\u202e", "\U0001f469\u200d\U0001f52c", "é" * 99, "1e999",
    "-0", "NaN", "Infinity", "-Infinity", "9" * 400, "0x10", "01", "true", "null", "[]", "{}", '""', "[" * 300,
    "{" + '"a":' * 300,
    "\\u", "\\x", "\n", "\t", "//", "/*", "'", "..", "../../etc/passwd", "http://169.254.169.254/", "${jndi:x}", "%s%n",
]  # fmt: skip
FIELDS = ["model", "messages", "temperature", "top_p", "n", "seed", "stop", "stream", "user", "max_tokens", "tools"]
FIELDS += [
    "response_format",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "functions",
    "prompt",
    "id",
    "rating",
    "__proto__",
]


def value(draw: random.Random, depth: int = 0) -> str:
    """Some JSON, or nearly."""
    kind = draw.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return draw.choice(ODD)
    if kind == 1:
        return str(draw.choice([0, 1, -1, 2**31, 2**53, 2**63, 2**64, 10**30, 0.1, 1e308, 5e-324]))
    if kind <= 3:
        return '"' + "".join(draw.choice([*ODD, "router", "user", "a", " "]) for _ in range(draw.randrange(4))) + '"'
    if kind <= 5:
        return draw.choice(["true", "false", "null", '"user"', '"router"', '"text"'])
    if kind == 6:
        return "[" + ",".join(value(draw, depth + 1) for _ in range(draw.randrange(4))) + "]"
    pairs = (f'"{draw.choice(FIELDS)}":{value(draw, depth + 1)}' for _ in range(draw.randrange(6)))
    return "{" + ",".join(pairs) + "}"


def body(draw: random.Random) -> bytes:
    kind = draw.randrange(6)
    if kind == 0:
        return draw.randbytes(draw.randrange(200))
    if kind == 1:  # a good one, broken somewhere
        text = bytearray(WHOLE)
        for _ in range(draw.randrange(1, 4)):
            text[draw.randrange(len(text))] = draw.randrange(256)
        return bytes(text[: draw.randrange(len(text) + 1)] if draw.random() < 0.3 else text)
    if kind == 2:
        return value(draw).encode("utf-8", "surrogatepass")
    told = {name: value(draw) for name in draw.sample(FIELDS, draw.randrange(4))}
    base = {"model": '"router"', "messages": '[{"role":"user","content":"hi"}]'} if kind > 3 else {}
    text = "{" + ",".join(f'"{name}":{one}' for name, one in (base | told).items()) + "}"
    return text.encode("utf-8", "surrogatepass")


def headers(draw: random.Random) -> list[tuple[bytes, bytes]]:
    host = b"127.0.0.1" if draw.random() < 0.95 else draw.choice([b"evil.example", b"", b"\xff", b"["])
    told = [(b"host", host), (b"content-type", b"application/json")]
    for _ in range(draw.randrange(3)):
        name = draw.choice([
            b"authorization", b"x-wheelwork-user", b"x-wheelwork-conversation", b"content-length",
            b"transfer-encoding", b"content-type", b"host", b"origin", b"cookie", b"x-forwarded-for",
            b"accept", b"content-encoding",
            b"expect",
        ])  # fmt: skip
        kind = draw.choice(
            [draw.randbytes(8), b"", b"-1", b"9" * 30, b"gzip", b"Bearer \xff\xfe", b"a" * 3000, b"\xed\xa0\x80"]
        )
        told.append((name, kind))
    return told


PATHS = ["/v1/chat/completions"] * 6 + [
    "/v1/completions",
    "/v1/feedback",
    "/v1/models/%00",
    "/v1/intents",
    "/hooks/router",
]
PATHS += ["/v1/../metrics", "/openapi.json", "//", "/v1/models/../../etc/passwd", "/\ud800", "/v1/models/" + "x" * 500]


async def asked(gateway: Gateway, draw: random.Random) -> tuple[int, bytes]:
    """One broken request, straight to the application."""
    path, told = draw.choice(PATHS), {"status": 0, "body": b""}
    sent = [{"type": "http.request", "body": body(draw), "more_body": False}]
    wait = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await wait.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told["status"] = message.get("status", told["status"])
        told["body"] += message.get("body", b"")

    method = (
        "POST" if draw.random() < 0.9 else draw.choice(["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "M-SEARCH"])
    )
    scope = {
        "type": "http", "method": method, "path": path, "root_path": "",
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": draw.choice([b"", b"hours=nan&limit=1e999&loop=%00", b"limit=-1", b"loop=\xff", b"a" * 999]),
        "headers": headers(draw), "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http",
        "http_version": "1.1",
    }  # fmt: skip
    await gateway.app(scope, receive, send)
    return told["status"], told["body"]  # type: ignore[return-value]


def test_ten_thousand_broken_requests_are_each_answered_with_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Intents:
        async def intents(self, loop: str, hours: float, limit: int) -> list[Any]:
            return []

    gateway, draw, statuses = Gateway(tmp_path, intents=Intents()), random.Random(7), Counter[int]()

    async def all_of_them() -> None:
        for number in range(MANY):
            status, text = await asked(gateway, draw)
            statuses[status] += 1
            assert 200 <= status < 500, (number, status, text[:300])
            assert not any(told in text for told in TELLTALES) or status == 200, (number, text[:300])
            if status >= 400:
                assert set(orjson.loads(text)["error"]) == {"message", "type", "param", "code"}

    asyncio.run(all_of_them())
    assert statuses[200] > 100 and statuses[400] > 2000 and statuses[404] and statuses[405] and statuses[421]
    assert not caplog.records


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    door = Door(read_seconds=0.3, idle_seconds=1, head_bytes=8192, body_bytes=65_536, connections=40)
    gateway = Gateway(tmp_path_factory.mktemp("home"), serving=GatewaySettings(door=door))
    with gateway.listening() as url:
        told = urlsplit(url)
        assert told.hostname and told.port
        yield told.hostname, told.port


def said(address: tuple[str, int], *pieces: bytes, wait: float = 0.0) -> bytes:
    """What comes back for `pieces` until the server closes, or for two seconds."""
    with socket.create_connection(address, 5) as sock:
        sock.settimeout(2)
        told = b""
        with suppress(ConnectionError):  # it closes when it has heard enough
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(wait)
        with suppress(ConnectionError, TimeoutError):
            while chunk := sock.recv(65536):
                told += chunk
                if b"\r\n\r\n" in told and b"connection: close" not in told.lower():
                    break
        return told


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n"], b"431"),
        ([b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], b"431"),
        ([b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", *[b"X: 1234567890\r\n" * 100] * 10], b"431"),
        ([b"GET / HTTP/1.1\r\nX: " + b"a" * 5000, b"a" * 5000], b"431"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", *[b"X: 1234567890\r\n" * 100] * 9], b"4"),
        ([HEAD + b"Content-Length: 100\r\n\r\n{"], b"408"),
        ([HEAD], b"408"),
        ([HEAD + b"Content-Length: 70000\r\n\r\n" + b"x" * 1000], b"413"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 5], b"413"),
        ([HEAD + b"Content-Length: -5\r\n\r\n"], b"400"),
        ([HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"], b"400"),
        ([HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"], b"400"),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], b"400"),
        ([b"GET / HTTP/9.9\r\n\r\n"], b"400"),
        ([b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], b"400"),
        ([b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n"], b"4"),
        ([b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"], b"200"),
        ([b"GET /healthz HTTP/1.1\r\n\r\n"], b"200"),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], b"4"),
    ],
)  # fmt: skip
def test_what_is_hardly_http_gets_a_status(address: tuple[str, int], pieces: list[bytes], status: bytes) -> None:
    told = said(address, *pieces, wait=0.005)
    closed = told == b"" and len(pieces) > 5  # what it said is lost with what was sent after it
    assert closed or told.startswith(b"HTTP/1.1 " + status), told[:200]
    assert not any(word in told for word in TELLTALES)
    assert said(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_who_sends_a_byte_now_and_then_is_not_waited_for(address: tuple[str, int]) -> None:
    started = time.monotonic()
    told = said(address, *[bytes([one]) for one in HEAD], wait=0.02)
    assert told == b"" or told.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 5


def test_connections_that_are_too_many_are_closed_and_do_not_stay(address: tuple[str, int]) -> None:
    opened = [socket.create_connection(address, 5) for _ in range(60)]
    try:
        ends = 0
        for one in opened:
            one.settimeout(3)
            told = one.recv(1000)
            ends += told == b"" or told.startswith(b"HTTP/1.1 503")
        assert ends == 60  # those within the limit end too, when nothing comes
    finally:
        for one in opened:
            one.close()
    time.sleep(0.1)
    assert said(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_broken_bytes_on_a_socket_never_end_the_server(address: tuple[str, int]) -> None:
    draw = random.Random(11)
    for _ in range(150):
        text = bytearray(HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE)
        for _ in range(draw.randrange(1, 5)):
            text[draw.randrange(len(text))] = draw.randrange(256)
        with socket.create_connection(address, 5) as sock:
            sock.settimeout(1)
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            try:
                told = sock.recv(65536)
            except (TimeoutError, ConnectionError):
                continue
            assert not told.startswith(b"HTTP/1.1 5") and not any(word in told for word in TELLTALES), (text, told)
    assert said(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


# what the document promises


class Intents:
    async def intents(self, loop: str, hours: float, limit: int) -> list[Any]:
        return []


class Hooks:
    def most_bytes(self, loop: str) -> int:
        return 1_048_576

    async def handle(self, loop: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
        return 202, {}, {}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Any:
    gateway = Gateway(
        tmp_path_factory.mktemp("home"), FakeHosting(EchoEngine()), hooks=Hooks(), intents=Intents()
    )  # fmt: skip
    return schemathesis.openapi.from_asgi("/openapi.json", gateway.app)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_the_openapi_document_is_kept_to(documented: Any, mode: GenerationMode) -> None:
    asked = Counter[str]()
    for found in documented.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.definition.raw.get("requestBody"):
            continue  # there is little that can be wrong

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def kept_to(case: Any) -> None:
            answer = case.call()
            checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
            case.validate_response(answer, checks=checks)
            described = {int(status) for status in case.operation.definition.raw["responses"]}
            assert answer.status_code in described, (case.as_curl_command(), answer.status_code)
            asked[case.operation.path] += 1

        kept_to()
    assert len(asked) == (10 if mode is GenerationMode.POSITIVE else 4)
