"""Answers that come in pieces: server-sent events over aiohttp, broken off when nobody reads on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import aiohttp

from .transport import CONNECT_TIMEOUT, ConnectionTrouble, Received, Sent

Events = AsyncGenerator[bytes, None]
"""What stands behind `data:` in each event."""


class Streams:
    """Connections that are kept for later streams. Redirects are not followed, proxies not used."""

    def __init__(self, timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: set[aiohttp.ClientResponse] = set()
        self._closing: asyncio.Task[None] | None = None
        self._closed = False

    async def __call__(self, sent: Sent) -> Received | Events:
        """The events of the answer, to be closed by whoever reads them, or the whole answer where it is no stream.

        Raises ConnectionTrouble, and so do the events.
        """
        if self._closed:
            raise ConnectionTrouble(ConnectionError("it was closed"))
        session = self._session
        if session is None or self._loop is not asyncio.get_running_loop():
            session = self._open()
        try:
            response = await session.request(
                sent.method, sent.url, data=sent.body, headers=sent.headers, allow_redirects=False
            )
            if response.status == 200 and response.content_type == "text/event-stream":
                return self._events(response)
            body = await response.read()
        except TimeoutError as error:
            raise ConnectionTrouble(error, late=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionTrouble(error) from error
        return Received(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def close(self) -> None:
        """For good, from any thread, whether the loop that asked still runs or not."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        session, loop, self._session = self._session, self._loop, None
        if session is None or loop is None:
            return

        def close_there() -> None:
            for response in list(self._under_way):  # whoever reads would not hear of the end from aiohttp
                response.content.set_exception(aiohttp.ClientConnectionError("it was closed"))
            self._closing = loop.create_task(session.close())

        if loop.is_running():
            with suppress(RuntimeError):  # it has ended just now
                loop.call_soon_threadsafe(close_there)
                return
        connector = session.connector
        session.detach()
        if isinstance(connector, aiohttp.TCPConnector):
            closing = connector.close()
            with suppress(StopIteration, RuntimeError):  # one step is all it takes: the sockets went with their loop
                closing.send(None)
            closing.close()

    def _open(self) -> aiohttp.ClientSession:
        """A session of the loop that runs; one that belonged to another loop is gone with it."""
        self._let_go()
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # how many are under way is the caller's business
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self._session

    async def _events(self, response: aiohttp.ClientResponse) -> Events:
        rest = b""
        self._under_way.add(response)
        try:
            async for piece in response.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield line[5:].strip()
        except TimeoutError as error:
            raise ConnectionTrouble(error, late=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionTrouble(error) from error
        finally:
            self._under_way.discard(response)
            response.close()  # one that was read to its end has given its connection back already
