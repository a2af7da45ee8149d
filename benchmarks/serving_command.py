"""`wheelwork serve` and its engines as processes, seen from outside: when each came, what all hold together."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from .serving_load import connected
from .serving_versions import Promoted, environment

ENGINE = "llamacpp_child"  # in the command line of an engine
LOOK = 0.1  # seconds between looks at the processes
PATIENCE = 180.0  # seconds after which something that should come counts as never


class Look(NamedTuple):
    """What is seen at one moment: bytes that the gateway and its engines hold together, and the engines' pids."""

    at: float
    held: int
    engines: frozenset[int]


class Command:
    """`wheelwork serve LOOP` with the state folder `home`, one after the other."""

    def __init__(self, loop: Path, home: Path) -> None:
        self.loop, self.home = loop, home
        self.port = free_port()
        self.log = home.with_name("gateway.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "wheelwork", "serve", str(self.loop), "--port", str(self.port)]
            self._process = subprocess.Popen(command, env=environment(self.home), stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def ready(self) -> None:
        """Wait until `/readyz` says `ok`. Raises SystemExit when it does not in three minutes."""
        assert self._process is not None
        told, end = b"", time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError):
                connection = await connected(self.port)
                status, told = await connection.ask(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                connection.close()
                if status == 200 and b'"status":"ok"' in told:
                    return
            await asyncio.sleep(0.02)
        raise SystemExit(f"the gateway is not ready: {told.decode()} {self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL; its engines are left to themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def engines(self) -> set[int]:
        """The pids of its engines."""
        found = set()
        with suppress(psutil.Error):
            for child in psutil.Process(self.pid).children():
                with suppress(psutil.Error):
                    if any(ENGINE in part for part in child.cmdline()):
                        found.add(child.pid)
        return found

    def look(self) -> Look:
        at, engines = time.perf_counter(), self.engines()
        return Look(at, sum(held(pid) for pid in (self.pid, *engines)), frozenset(engines))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[list[Look]]:
        """Look at it ten times a second while the block runs; what was seen grows in the list."""
        looks: list[Look] = []

        async def watch() -> None:
            while True:
                looks.append(await asyncio.to_thread(self.look))
                await asyncio.sleep(LOOK)

        task = asyncio.create_task(watch())
        try:
            yield looks
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Promoting:
    """The process that promotes: see `serving_versions`."""

    def __init__(self, loop: Path, home: Path, trained: Path) -> None:
        command = [sys.executable, "-m", "wheelwork.benchmarks.serving_versions", "promote"]
        self._process = subprocess.Popen(
            [*command, str(loop), str(home), str(trained)],
            env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, number: int) -> Promoted:
        """Promote version `number`; its moment is in the time of `time.perf_counter`. Waits for it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"version {number} could not be promoted; the reason stands above")
        version, at = Promoted.of(line)
        return Promoted(version, at - time.time() + time.perf_counter())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def came(looks: list[Look], since: float) -> float | None:
    """When an engine was first seen that was not there at the last look before `since`; None for none."""
    known = frozenset[int]()
    for look in looks:
        if look.at < since:
            known = look.engines
        elif look.engines - known:
            return look.at
    return None


def runs(pid: int) -> bool:
    """Whether a process still does anything; one that ended and that nobody asked about does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def held(pid: int) -> int:
    """Bytes that a process holds; what it shares with others counts in part (PSS), where the system tells that."""
    try:
        told = psutil.Process(pid).memory_full_info()
    except psutil.Error:  # it ended just now
        return 0
    return int(getattr(told, "pss", told.rss))


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
