"""Writing samples: how many calls a second the client makes, what it costs in memory, and what the engine could do.

    python -m wheelwork.benchmarks.generation            all cases but the engine's: about two minutes
    python -m wheelwork.benchmarks.generation --engine   the embedded engine beside itself without us
    python -m wheelwork.benchmarks.peers                 the same work by others: see there

Client and mock server are processes of their own; where `sched_setaffinity` exists, each has one core. All of a row's
work is on: prompt from a template, call, reply parsed and checked, kept in the cache, written to parquet.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from wheelwork.core.chat.messages import Reply
from wheelwork.core.chat.openai import OpenAIChat
from wheelwork.core.chat.transport import Sent
from wheelwork.core.chat.wire import Wire
from wheelwork.core.generation.fill import Rows, fill_orders
from wheelwork.core.generation.material import Material
from wheelwork.core.generation.planning import Generation, quotas
from wheelwork.core.generation.standalone import Asked
from wheelwork.core.loops import Overrides, load_loop
from wheelwork.core.naming import find_loop
from wheelwork.core.samples import write_parquet
from wheelwork.core.teaching import Teachers

from .results import Figure, publish

REPEATS = 3
FAULTS = {"limited": 0.05, "malformed": 0.02, "dropped": 0.01, "seed": 1}
CHILD = (sys.executable, "-m", "wheelwork.benchmarks.generation", "--child")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--engine", action="store_true", help="the embedded engine against itself without us")
    options.add_argument("--child", nargs=4, metavar=("URL", "ROWS", "PARALLEL", "FOLDER"), help=argparse.SUPPRESS)
    options.add_argument("--sockets", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        url, rows, parallel, folder = chosen.child
        client = _sockets if chosen.sockets else _client
        print(json.dumps(client(url, int(rows), int(parallel), Path(folder))))
        return
    figures = (
        _engine() if chosen.engine else [*_planning(), *_throughput(), *_latency(), *_faults(), *_killed(), *_memory()]
    )
    publish("generation-engine" if chosen.engine else "generation", figures)


def _planning() -> list[Figure]:
    loop = load_loop(find_loop("home_broadband"), Overrides(samples=1_000_000))
    material, settings = loop.material, loop.settings.generate
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        wanted = quotas(1_000_000, list(material.categories), settings)
        count = sum(1 for _ in material.orders(wanted, choices=1, seed=0))
        seconds.append(time.perf_counter() - started)
        assert count == 1_000_000
    return spread("a million rows planned", "wheelwork", "wall clock", seconds, "s")


def _throughput() -> list[Figure]:
    runs, bare = [], []
    for _ in range(REPEATS):
        runs.append(run({}, 8000, 64))
        bare.append(run({}, 8000, 64, "--sockets"))
    shares = [100 * (r["rows"] / r["cpu"]) / (b["rows"] / b["cpu"]) for r, b in zip(runs, bare, strict=True)]
    return [
        *spread("instant mock, 64 parallel", "wheelwork", "calls", [r["rows"] / r["wall"] for r in runs], "1/s"),
        *spread(
            "instant mock, 64 parallel", "wheelwork", "per CPU second", [r["rows"] / r["cpu"] for r in runs], "1/s"
        ),
        *spread(
            "instant mock, 64 parallel", "plain sockets", "per CPU second", [r["rows"] / r["cpu"] for r in bare], "1/s"
        ),
        *spread("instant mock, 64 parallel", "wheelwork", "of plain sockets, per CPU second", shares, "%"),
    ]


def _latency() -> list[Figure]:
    runs = [run({"latency": 50}, 8000, 64) for _ in range(REPEATS)]
    ceiling = 64 / 0.050
    shares = [100 * r["rows"] / r["wall"] / ceiling for r in runs]
    return spread("50 ms, 64 parallel", "wheelwork", "of the ceiling of 1,280 calls/s", shares, "%")


def _faults() -> list[Figure]:
    made = run(FAULTS, 5000, 64)
    case = "5% 429, 2% malformed, 1% dropped"
    return [
        Figure(case, "wheelwork", "rows asked for", 5000, "rows"),
        Figure(case, "wheelwork", "rows made", made["rows"] - made["refused"], "rows"),
        Figure(case, "wheelwork", "rows dropped with reason", made["refused"], "rows"),
        Figure(case, "wheelwork", "calls repeated that had an answer", made["stats"].get("repeated", 0), "calls"),
    ]


def _killed() -> list[Figure]:
    """The same, killed with SIGKILL half-way and run again on what it left."""
    rows, case = 5000, "the same, killed half-way"
    with mock(FAULTS) as url, tempfile.TemporaryDirectory() as folder:
        with _started(url, rows, folder) as child:
            _until(lambda: _stats(url)["answered"] > rows // 2)
            child.kill()
        asked = _stats(url)["answered"]
        with _started(url, rows, folder) as child:
            began = time.perf_counter()
            _until(lambda: _stats(url)["answered"] > asked)
            resumed = time.perf_counter() - began
            made = json.loads(child.communicate()[0])
        repeated = _stats(url).get("repeated", 0)
    return [
        Figure(case, "wheelwork", "rows made", made["rows"] - made["refused"], "rows"),
        Figure(case, "wheelwork", "rows dropped with reason", made["refused"], "rows"),
        Figure(case, "wheelwork", "calls repeated: under way or not yet kept at the kill", repeated, "calls"),
        Figure(case, "wheelwork", "work until the first new call", resumed, "s"),
    ]


@contextmanager
def _started(url: str, rows: int, folder: str) -> Iterator[subprocess.Popen[str]]:
    """A generation that has begun its work."""
    command = [*CHILD, url, str(rows), "64", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


def _until(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)


def _memory() -> list[Figure]:
    sizes = {rows: run({}, rows, 64)["resident"] for rows in (4000, 40_000)}
    return [Figure(f"{rows:,} rows", "wheelwork", "resident, largest", size, "MiB") for rows, size in sizes.items()]


def run(manner: dict[str, float], rows: int, parallel: int, *options: str) -> dict[str, Any]:
    """One generation in a process of its own against a mock of its own."""
    with mock(manner) as url, tempfile.TemporaryDirectory() as folder:
        command = [*CHILD, url, str(rows), str(parallel), folder, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        stats = _stats(url)
    return json.loads(done.stdout.splitlines()[-1]) | {"stats": stats}


def _stats(url: str) -> dict[str, int]:
    """What the mock has served so far."""
    served: dict[str, int] = httpx.get(url.replace("/v1", "/stats"), trust_env=False).json()
    return {"answered": 0} | served


@contextmanager
def mock(manner: dict[str, float]) -> Iterator[str]:
    """The base URL of a mock teacher that has a core of its own; it lives five minutes at most."""
    options = [word for name, value in manner.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "wheelwork.benchmarks.mock_teacher", "--life", "300", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        pin(0, server.pid)
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def pin(core: int, process: int = 0) -> None:
    """Keep a process, 0 is this one, on one of the cores we may use."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(process, {sorted(os.sched_getaffinity(0))[core]})


def questions(url: str, rows: int, parallel: int) -> Asked:
    """What is asked of the mock in every case: questions and answers about a library."""
    return Asked.from_options(
        {"kind": "qa", "setting": "Members of a library ask about loans."},
        {"samples": rows},
        {"kind": "openai", "base_url": url, "model": "mock", "parallel": parallel},
        None,
    )


def _client(url: str, rows: int, parallel: int, folder: Path) -> dict[str, Any]:
    pin(-1)
    asked = questions(url, rows, parallel)
    material = asked.material(None, "en")
    wanted = quotas(rows, list(material.categories), material.settings)
    first = next(material.orders(wanted, choices=1, seed=0))
    write_parquet(folder / "first.parquet", [material.writing.refused(first, "", "no_reply", origin="teacher")])
    # so that what pyarrow loads once is there
    with ExitStack() as stack:
        teaching = asked.teachers().open(folder, material.settings.budget, stack)
        print("began", flush=True)
        wall, cpu = time.perf_counter(), time.process_time()
        orders = material.orders(wanted, choices=1, seed=0)
        made = Rows(fill_orders(orders, material.writing, teaching.chat, origin="teacher"), teaching.chat)
        write_parquet(folder / "rows.parquet", made)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    refused = sum(made.refused.values())
    return {"rows": made.count, "refused": refused, "wall": wall, "cpu": cpu, "resident": resident}


def _sockets(url: str, rows: int, parallel: int, folder: Path) -> dict[str, Any]:
    """The same requests posted over plain sockets and nothing done with the replies: what asyncio itself can do."""
    pin(-1)
    asked = questions(url, rows, parallel)
    material = asked.material(None, "en")
    endpoint = OpenAIChat(url, "mock", parallel=parallel)
    wanted = quotas(rows, list(material.categories), material.settings)
    orders = material.orders(wanted, choices=1, seed=0)
    posts = [
        Sent("POST", f"{url}/chat/completions", {}, endpoint.body(material.writing.request(order))) for order in orders
    ]

    async def post_all() -> None:
        wire, left = Wire(60.0), iter(posts)

        async def work() -> None:
            for post in left:
                assert (await wire(post)).status == 200

        await asyncio.gather(*(work() for _ in range(parallel)))
        await wire.aclose()

    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(post_all())
    return {"rows": rows, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _engine() -> list[Figure]:
    """The same calls through all of it, and by themselves, in turn; each on a fresh engine and a fresh cache."""
    loop = load_loop(find_loop("home_broadband"), Overrides(samples=96))
    material: Material = loop.material
    wanted = quotas(96, list(material.categories), loop.settings.generate)
    ours, bare = [], []
    for seed in range(REPEATS):
        orders = list(material.orders(wanted, choices=8, seed=seed))
        with tempfile.TemporaryDirectory() as folder:
            ours.append(_through(loop, orders, Path(folder)))
        bare.append(_alone(loop, orders))
    ratio = [100 * b / o for o, b in zip(ours, bare, strict=True)]
    return [
        *spread("96 samples, 8 a call", "wheelwork", "wall clock", ours, "s"),
        *spread("96 samples, 8 a call", "bare engine", "wall clock", bare, "s"),
        *spread("96 samples, 8 a call", "wheelwork", "of the bare engine's rate", ratio, "%"),
        Figure("96 samples, 8 a call", "wheelwork", "prompts read per sample", len(orders) / 96, "prompts"),
    ]


def _through(loop: Any, orders: list[Any], folder: Path) -> float:
    with ExitStack() as stack:
        teachers = Teachers(loop.settings.teachers("writer"), loop.embedded, loop.engine_for)
        teaching = teachers.open(folder, Generation().budget, stack)
        started = time.perf_counter()
        rows = Rows(fill_orders(orders, loop.material.writing, teaching.chat, origin="teacher"), teaching.chat)
        write_parquet(folder / "rows.parquet", rows)
        return time.perf_counter() - started


def _alone(loop: Any, orders: list[Any]) -> float:
    model = loop.embedded(loop.settings.teachers("writer")[0])
    requests = [loop.material.writing.request(order) for order in orders]
    with tempfile.TemporaryDirectory() as folder, loop.engine_for(model).start(model, {}, Path(folder), 8) as engine:
        chat = engine.chat(exact=True)

        async def ask() -> list[Reply]:
            replies = [await chat(request) for request in requests]
            await chat.aclose()
            return replies

        started = time.perf_counter()
        asyncio.run(ask())
        return time.perf_counter() - started


def spread(case: str, system: str, metric: str, values: list[float], unit: str) -> list[Figure]:
    """Median, least and most of repeated runs."""
    return [
        Figure(case, system, f"{metric}, median of {len(values)}", statistics.median(values), unit),
        Figure(case, system, f"{metric}, least", min(values), unit),
        Figure(case, system, f"{metric}, most", max(values), unit),
    ]


if __name__ == "__main__":
    main()
