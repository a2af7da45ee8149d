"""The processes of `bench-serving`: a mock engine and a gateway, each on its core, and what they leave behind."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil
from safetensors.numpy import save_file

LIFE = 3600  # seconds after which a mock that was forgotten ends


CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
"""The cores that there were at the start: a process that was pinned sees one, and so does all that it starts."""


def pinned(core: int, pid: int = 0) -> None:
    """Keep a process, by default this one, to a core with all its threads."""
    if hasattr(os, "sched_setaffinity"):
        for thread in psutil.Process(pid or None).threads():
            os.sched_setaffinity(thread.id, {core})


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(psutil.Process(pid).memory_info().rss)


def processor(pid: int) -> float:
    """Seconds of processor that a process has taken, whatever else the machine did."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


class Place:
    """A state folder with a mock engine beside it; gateways are started in it one after the other."""

    def __init__(self, home: Path, engine: int | None = None) -> None:
        self.home = home
        self._mock: subprocess.Popen[str] | None = None
        self._gateway: subprocess.Popen[str] | None = None
        self._engine = engine

    def __enter__(self) -> "Place":
        (self.home / "adapter").mkdir()
        (self.home / "adapter" / "adapter_config.json").write_text("{}")
        save_file({"nothing": np.zeros(1, np.float32)}, self.home / "adapter" / "adapter_model.safetensors")
        self.champion("1")
        if self._engine is None:
            self._mock = _started("wheelwork.benchmarks.mock_teacher", "--life", str(LIFE))
            pinned(CORES[-1], self._mock.pid)
            self._engine = _port(self._mock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_gateway()
        if self._mock is not None:
            self._mock.kill()
            self._mock.wait()

    @property
    def mock(self) -> int:
        """The port of the engine."""
        assert self._engine is not None
        return self._engine

    @property
    def pid(self) -> int:
        assert self._gateway is not None
        return self._gateway.pid

    def champion(self, version: str) -> None:
        """Promote a version, whole or not at all."""
        scratch = self.home / "champion.new"
        scratch.write_text(version)
        scratch.replace(self.home / "champion")

    def gateway(self, *options: str) -> int:
        """Start a gateway; its port, when it is ready."""
        self._gateway = _started("wheelwork.benchmarks.serving_gateway", str(self.home), str(self.mock), *options)
        port = _port(self._gateway)
        pinned(CORES[0], self._gateway.pid)
        return port

    def stop_gateway(self, sent: int = signal.SIGTERM) -> None:
        """End the gateway, in order or not."""
        if self._gateway is not None:
            self._gateway.send_signal(sent)
            self._gateway.wait(60)
            self._gateway = None

    def stored(self) -> set[str]:
        """The ids of all exchanges in the database."""
        with sqlite3.connect(f"file:{self.home / 'traffic.db'}?mode=ro", uri=True, timeout=30) as database:
            return {row[0] for row in database.execute("select id from exchanges")}

    def stored_after(self, patience: float) -> int:
        """How many exchanges there are, once no more are written."""
        before, deadline = -1, time.monotonic() + patience
        while (now := len(self.stored())) != before and time.monotonic() < deadline:
            before = now
            time.sleep(0.5)
        return now


def _started(module: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.strip().isdigit():
        raise SystemExit(f"{process.args!r} did not start: {line.strip() or 'no output'}")
    return int(line)
