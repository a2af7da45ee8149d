"""Bytes over real sockets of this machine: what is sent, every way in which an answer can come, and what breaks."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.chat.transport import Connections, ConnectionTrouble, Received, Sent, Session, connections_to
from wheelwork.core.chat.wire import Wire
from yarl import URL

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CLOSE, RESET, HANG = b"close", b"reset", b"hang"  # what a server may do in place of writing
KINDS: list[Callable[[float], Connections]] = [Wire, lambda timeout: Session(4, timeout)]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["wire", "aiohttp"])


class Server:
    """Answers the n-th request with the n-th of `answers` (the last for ever), piece by piece."""

    def __init__(self, *answers: list[bytes]) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")]
                self.requests.append(head + await reader.readexactly(int(lengths[0]) if lengths else 0))
                for piece in self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]:
                    if piece == RESET:
                        writer.transport.abort()
                    if piece in (CLOSE, RESET):
                        return
                    if piece == HANG:
                        await asyncio.sleep(3600)
                    writer.write(piece)
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def with_server(
    server: Server,
    play: Callable[[Callable[[], Awaitable[Received]], Connections], Awaitable[object]],
    **options: object,
) -> None:
    """Run `play(post, connections)` beside `server`."""
    kind, timeout = options.get("kind", Wire), options.get("timeout", 5.0)

    async def run() -> None:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        sent = Sent("POST", f"http://127.0.0.1:{port}/v1/x?a=b%20c", {"Authorization": "Bearer k"}, b'{"a": 1}')
        connections = kind(timeout)  # type: ignore[operator]
        try:
            await play(lambda: connections(sent), connections)
        finally:
            await connections.aclose()
            listening.close()

    asyncio.run(run())


def one(*pieces: bytes, **options: object) -> Received:
    """What is received when a server answers with `pieces`."""
    got: list[Received] = []

    async def play(post: Callable[[], Awaitable[Received]], connections: Connections) -> None:
        got.append(await post())

    with_server(Server(list(pieces)), play, **options)
    return got[0]


@every_kind
def test_a_request_is_sent_and_its_connection_used_again(kind: object) -> None:
    server = Server([OK])

    async def play(post: Callable[[], Awaitable[Received]], connections: Connections) -> None:
        for _ in range(3):
            assert await post() == Received(200, {"content-length": "2"}, b"hi")

    with_server(server, play, kind=kind)
    assert (server.connections, len(server.requests)) == (1, 3)
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert body == b'{"a": 1}'
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x?a=b%20c HTTP/1.1"
    assert {b"Authorization: Bearer k", b"Content-Length: 8"} <= set(lines)
    assert sum(line.startswith(b"Host: 127.0.0.1:") for line in lines) == 1


@every_kind
@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
        [b"HTTP/1.1 200 OK\r\nContent-", b"Length: 5\r\n\r", b"\nhe", b"llo"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5", b"\r\nhel", b"lo\r", b"\n0\r\n", b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", CLOSE],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", CLOSE],
        [b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"],
    ],
)
def test_every_way_to_send_a_body(kind: object, pieces: list[bytes]) -> None:
    received = one(*pieces, kind=kind)
    assert (received.status, received.text) == (200, "hello")


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans())
def test_a_body_arrives_whole_however_it_is_cut(body: bytes, sizes: list[int], chunked: bool) -> None:
    if chunked:
        parts = [body[at : at + sizes[0]] for at in range(0, len(body), sizes[0])]
        raw = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + raw
    else:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    pieces: list[bytes] = []
    for size in sizes:
        pieces, raw = [*pieces, raw[:size]], raw[size:]
    assert one(*(piece for piece in [*pieces, raw] if piece)).body == body


@every_kind
@pytest.mark.parametrize("status", [204, 301, 429, 503])
def test_any_status_is_an_answer_and_no_redirect_is_followed(kind: object, status: int) -> None:
    head = b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n" % status
    received = one(head, kind=kind)
    assert (received.status, received.headers["retry-after"], received.body) == (status, "3", b"")


@every_kind
@pytest.mark.parametrize(
    "pieces",
    [
        [CLOSE],
        [RESET],
        [b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\nhello\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello"],
        [b"SSH-2.0-OpenSSH_9.6\r\n\r\n"],
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_trouble(kind: object, pieces: list[bytes]) -> None:
    with pytest.raises(ConnectionTrouble) as caught:
        one(*pieces, kind=kind)
    assert not caught.value.late
    assert ": " in str(caught.value)


@every_kind
@pytest.mark.parametrize("pieces", [[HANG], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", HANG]])
def test_what_takes_too_long_is_late(kind: object, pieces: list[bytes]) -> None:
    with pytest.raises(ConnectionTrouble, match="TimeoutError") as caught:
        one(*pieces, kind=kind, timeout=0.1)
    assert caught.value.late


@every_kind
def test_nobody_at_the_address_is_trouble(kind: Callable[[float], Connections]) -> None:
    async def run() -> None:
        for host in ("127.0.0.1:1", "a" * 70 + ".invalid:80"):
            with pytest.raises(ConnectionTrouble):
                await kind(5.0)(Sent("GET", f"http://{host}/", {}))

    asyncio.run(run())


@pytest.mark.parametrize(
    "first",
    [
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", HANG],
        [OK, CLOSE],
        [OK + b"and more", HANG],
        [OK, b"unasked", HANG],
    ],
)
def test_a_connection_that_is_not_clean_is_not_used_again(first: list[bytes]) -> None:
    server = Server(first, [OK])

    async def play(post: Callable[[], Awaitable[Received]], connections: Connections) -> None:
        for _ in range(2):
            assert (await post()).body == b"hi"
            await asyncio.sleep(0.02)

    with_server(server, play)
    assert server.connections == 2


@every_kind
def test_a_cancelled_call_does_not_leave_its_answer_to_the_next(kind: object) -> None:
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HANG], [OK])

    async def play(post: Callable[[], Awaitable[Received]], connections: Connections) -> None:
        first = asyncio.ensure_future(post())
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (await post()).body == b"hi"

    with_server(server, play, kind=kind)
    assert server.connections == 2


@every_kind
def test_connections_of_a_loop_that_ended_are_not_used_in_the_next(kind: Callable[[float], Connections]) -> None:
    connections = kind(5.0)

    async def run() -> None:
        listening = await asyncio.start_server(Server([OK]), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        assert (await connections(Sent("GET", url, {}))).body == b"hi"
        listening.close()

    asyncio.run(run())
    asyncio.run(run())
    asyncio.run(connections.aclose())


@every_kind
def test_each_host_has_its_connections_and_each_call_its_headers(kind: Callable[[float], Connections]) -> None:
    one, other = Server([OK]), Server([OK])

    async def run() -> None:
        connections = kind(5.0)
        for server in (one, other):
            listening = await asyncio.start_server(server, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
            for key in (b"a", b"b"):
                await connections(Sent("GET", url, {"Authorization": key.decode()}))
            listening.close()
        await connections.aclose()

    asyncio.run(run())
    for server in (one, other):
        assert server.connections == 1
        keys = [line for sent in server.requests for line in sent.split(b"\r\n") if line.startswith(b"Authorization")]
        assert keys == [b"Authorization: a", b"Authorization: b"]


@pytest.mark.parametrize(
    ("url", "kind"), [("http://host/v1", Wire), ("https://host/v1", Session), ("http://user:word@host/v1", Session)]
)
def test_what_is_not_plain_goes_over_the_library(url: str, kind: type) -> None:
    assert isinstance(connections_to(URL(url), 2, 1.0), kind)
