"""HTTP/1.1 over plain sockets, for engines near by: as little work per call as Python can do."""

import asyncio
from typing import Any

from yarl import URL

from .transport import CONNECT_TIMEOUT, ConnectionTrouble, Received, Sent

LONGEST_HEAD = 65536


class Wire:
    """Connections that are kept and used again, the last used one first.

    It opens one when none is idle; how many calls are under way is its caller's business.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._idle: dict[str, list[_Connection]] = {}  # by host and port
        self._open: set[_Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heads: dict[object, tuple[str, bytes]] = {}  # host and port, and all of a head but its length

    async def __call__(self, sent: Sent) -> Received:
        """Raises ConnectionTrouble."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections of another loop are gone with it
            self._loop, self._idle, self._open = loop, {}, set()
        try:
            authority, head = self._head(sent)
            idle = self._idle.setdefault(authority, [])
            connection = _kept(idle) or await self._connect(sent.url, loop)
            deadline = loop.call_later(self._timeout, connection.fail, TimeoutError("no answer in time"))
            try:
                received = await connection.exchange(head + b"%d\r\n\r\n" % len(sent.body) + sent.body, loop)
            finally:
                deadline.cancel()
        except TimeoutError as error:
            raise ConnectionTrouble(error, late=True) from error
        except (OSError, UnicodeError) as error:
            raise ConnectionTrouble(error) from error
        if connection.reusable:
            idle.append(connection)
        return received

    async def aclose(self) -> None:
        if self._loop is asyncio.get_running_loop():
            for connection in list(self._open):
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the transports close their sockets

    async def _connect(self, url: str, loop: asyncio.AbstractEventLoop) -> "_Connection":
        address = URL(url)
        assert address.raw_host is not None and address.port is not None
        async with asyncio.timeout(min(CONNECT_TIMEOUT, self._timeout)):
            _, connection = await loop.create_connection(
                lambda: _Connection(self._open), address.raw_host, address.port
            )
        return connection

    def _head(self, sent: Sent) -> tuple[str, bytes]:
        key = (sent.method, sent.url, *sent.headers.items())
        if (known := self._heads.get(key)) is None:
            url = URL(sent.url)
            lines = [f"{sent.method} {url.raw_path_qs} HTTP/1.1", f"Host: {url.raw_authority}", "Accept: */*"]
            lines += [f"{name}: {value}" for name, value in sent.headers.items()]
            head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("ascii")
            known = self._heads[key] = (url.raw_authority, head)
        return known


def _kept(idle: "list[_Connection]") -> "_Connection | None":
    while idle:
        connection = idle.pop()
        if connection.reusable:
            return connection
    return None


class _Connection(asyncio.Protocol):
    """One exchange after the other; what comes unasked closes it."""

    def __init__(self, opened: "set[_Connection]") -> None:
        self._opened = opened
        self._transport: Any = None
        self._closed = False
        self._answer: asyncio.Future[Received] | None = None
        self._begin()

    @property
    def reusable(self) -> bool:
        return not self._closed and not self._transport.is_closing()

    async def exchange(self, request: bytes, loop: asyncio.AbstractEventLoop) -> Received:
        """Raises OSError when the connection breaks off, or what came is not HTTP."""
        answer: asyncio.Future[Received] = loop.create_future()
        self._answer = answer
        self._begin()
        self._transport.write(request)
        try:
            return await answer
        except BaseException:  # cancelled too: the rest of that answer would be taken for the next one's
            self.abort()
            raise
        finally:
            self._answer = None

    def abort(self) -> None:
        self._closed = True
        self._transport.abort()

    def fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _begin(self) -> None:
        self._buffer = bytearray()
        self._status = 0  # of the head, once it is read
        self._headers: dict[str, str] = {}
        self._length: int | None = None  # of the body; None: in chunks, or up to the end of the connection
        self._chunked = False
        self._body = bytearray()  # the chunks so far

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._opened.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return self.abort()
        self._buffer += data
        try:
            if (body := self._read()) is not None:
                self._finish(body)
        except ValueError:
            self.fail(ConnectionError("what came is not HTTP"))

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._opened.discard(self)
        if self._status and self._length is None and not self._chunked and error is None:
            return self._finish(bytes(self._buffer))
        self.fail(error if isinstance(error, OSError) else ConnectionResetError("the connection broke off"))

    # reading an answer

    def _finish(self, body: bytes) -> None:
        if "close" in self._headers.get("connection", "").lower():
            self._closed = True
            self._transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Received(self._status, self._headers, body))

    def _read(self) -> bytes | None:
        """The body, once the answer is whole. Raises ValueError for what is not HTTP."""
        while not self._status:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > LONGEST_HEAD:
                    raise ValueError
                return None
            head = self._buffer[:end].decode("latin-1")
            del self._buffer[: end + 4]
            self._read_head(head)
        if self._chunked:
            return self._read_chunks()
        if self._length is None or len(self._buffer) < self._length:
            return None
        self._closed |= len(self._buffer) > self._length  # more than was said: not to be used again
        return bytes(self._buffer[: self._length])

    def _read_head(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        version, status, *_ = first.split(" ", 2)
        if not version.startswith("HTTP/1.") or len(status) != 3:
            raise ValueError
        if status.startswith("1"):  # a word in between, the answer follows
            return
        for line in lines:
            name, _, value = line.partition(":")
            self._headers[name.lower()] = value.strip()
        if version == "HTTP/1.0":
            self._headers.setdefault("connection", "close")
        self._status = int(status)
        self._chunked = self._headers.get("transfer-encoding", "").lower().endswith("chunked")
        if self._status in (204, 304):
            self._length, self._chunked = 0, False
        elif not self._chunked and (length := self._headers.get("content-length")) is not None:
            if not length.isdecimal():
                raise ValueError
            self._length = int(length)

    def _read_chunks(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = int(self._buffer[:end].split(b";")[0], 16)
            if size < 0:
                raise ValueError
            if size == 0:  # trailers may follow, up to an empty line
                last = self._buffer.find(b"\r\n\r\n")
                self._closed |= 0 <= last < len(self._buffer) - 4
                return bytes(self._body) if last >= 0 else None
            if len(self._buffer) < end + 2 + size + 2:
                return None
            self._body += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 2 + size + 2]
        return None
