"""The socket and the server: bound at the door, quiet, ended in order."""

import asyncio
import errno
import gc
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import uvicorn
from fastapi import FastAPI

from ...errors import ConfigError
from .protocol import guarded
from .settings import Door

BACKLOG = 2048
DRAIN = 30  # seconds that requests under way have when the gateway ends
ENDS = (signal.SIGINT, signal.SIGTERM)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound. Raises ConfigError for a port that is taken, or a host that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is taken, perhaps by another gateway; give another with --port") from None
        if error.errno == errno.EACCES:
            raise ConfigError(f"port {port} may not be opened by you; give one above 1023 with --port") from None
        raise ConfigError(f"{host}: this machine has no such address; give another with --host") from None
    return opened


def run(
    opened: socket.socket,
    door: Door,
    parts: Callable[[], AbstractAsyncContextManager[FastAPI]],
    ready: Callable[[], None],
) -> None:
    """Serve what `parts` opens, on a socket that is bound, until SIGINT or SIGTERM; then requests under way finish.

    `ready` is called when connections are taken. The parts are closed after the last answer.
    """
    config = _config(None, door)
    _more_files(door.connections)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(opened, door, parts, ready))


async def _serve(
    opened: socket.socket,
    door: Door,
    parts: Callable[[], AbstractAsyncContextManager[FastAPI]],
    ready: Callable[[], None],
) -> None:
    async with parts() as app:
        _collect_less()
        server = Server(_config(app, door))
        telling = asyncio.create_task(_tell(server, ready))
        await server.serve([opened])
        telling.cancel()


async def _tell(server: "Server", ready: Callable[[], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    ready()


def _collect_less() -> None:
    """Look for cycles of garbage less often, and never among what stays from the start to the end.

    Requests leave next to none, and looking as often as Python does by default takes 4% of the processor's time. Nor
    is it looked for now: modules leave a thousand objects, and to find them takes a tenth of a second.
    """
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])


def _config(app: FastAPI | None, door: Door) -> uvicorn.Config:
    """uvicorn with its fast parts; `loop` and `http` of another kind only where these are not to be had."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a stranger's bad requests do not fill the log
    return uvicorn.Config(
        app or (lambda *_: None), http=guarded(door), loop="auto", ws="none", lifespan="on", log_config=None,
        access_log=False, server_header=False, date_header=True, timeout_keep_alive=int(door.idle_seconds),
        timeout_graceful_shutdown=DRAIN, backlog=BACKLOG, proxy_headers=False,
    )  # fmt: skip


def _more_files(connections: int) -> None:
    """Let the process have a file open for each connection, and some more; many systems give 1,024."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Server(uvicorn.Server):
    """uvicorn, without sending itself the signal again when it has ended: what holds the parts closes them first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        try:
            before = {sent: signal.signal(sent, self.handle_exit) for sent in ENDS}
        except ValueError:  # not the main thread, as in a test
            yield
            return
        try:
            yield
        finally:
            for sent, handler in before.items():
                signal.signal(sent, handler)
