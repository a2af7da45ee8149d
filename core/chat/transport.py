"""The one place where bytes go to an endpoint and come back; tests put a function in its place."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

import aiohttp
from yarl import URL

CONNECT_TIMEOUT = 10.0


class Sent(NamedTuple):
    """One HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Received(NamedTuple):
    """What came back, whole; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class ConnectionTrouble(Exception):
    """No whole answer came: the connection failed, broke off, or took too long (`late`)."""

    def __init__(self, error: Exception, late: bool = False) -> None:
        super().__init__(f"{type(error).__name__}: {error}".rstrip(": "))
        self.late = late


Transport = Callable[[Sent], Awaitable[Received]]


class Connections(Protocol):
    """A transport that keeps connections for later calls. Redirects are not followed, proxies not used."""

    async def __call__(self, sent: Sent) -> Received: ...

    async def aclose(self) -> None: ...


def connections_to(base_url: URL, parallel: int, timeout: float) -> Connections:
    """Connections for calls below `base_url`, none of them open yet; `timeout` is seconds for one call.

    Plain HTTP, which engines near by speak, goes over `wire`, at a third of the price of a call through aiohttp
    (docs/log.md); everything else over aiohttp.
    """
    from .wire import Wire

    return Wire(timeout) if base_url.scheme == "http" and not base_url.user else Session(parallel, timeout)


class Session:
    """Connections of aiohttp."""

    def __init__(self, parallel: int, timeout: float) -> None:
        self._parallel = parallel
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, sent: Sent) -> Received:
        """Raises ConnectionTrouble."""
        session = self._session
        if session is None or self._loop is not asyncio.get_running_loop():
            session = self._open()
        try:
            async with session.request(
                sent.method, sent.url, data=sent.body or None, headers=sent.headers, allow_redirects=False
            ) as response:
                body = await response.read()
        except TimeoutError as error:
            raise ConnectionTrouble(error, late=True) from error
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # a host's name may be no name
            raise ConnectionTrouble(error) from error
        return Received(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def _open(self) -> aiohttp.ClientSession:
        """A session of the loop that runs; one that belonged to another loop is gone with it."""
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._parallel),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy set for the wide world must not see calls to a local engine
        )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
