"""The gateway on loopback before a mock engine: what it adds, what it carries, what is left after swaps and kills.

    python -m wheelwork.benchmarks.serving           all cases: about fifteen minutes
    python -m wheelwork.benchmarks.serving --quick   a tenth of it, to see whether it runs
    python -m wheelwork.benchmarks.serving --only throughput memory

Gateway and load are on a core each, where `sched_setaffinity` exists; the mock shares the load's. Every exchange is
redacted and stored. Latency is counted from when a request was due, so that a server that stands still is seen.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .results import Figure, publish
from .serving_faults import hooked, killed, swapped
from .serving_load import closed_loop, open_loop, percentile, question, zipf
from .serving_processes import CORES, Place, pinned, processor, resident

RATE = 200  # requests a second of the latency cases
CONNECTIONS = 32
SYSTEM = "gateway"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a tenth of it; the file of results is another")
    options.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="some of the cases")
    options.add_argument(
        "--engine", type=int, help="port of a real engine's server to set beside, at one request at once"
    )
    chosen = options.parse_args()
    pinned(CORES[-1])
    figures: list[Figure] = []
    for name in chosen.only:
        with tempfile.TemporaryDirectory(prefix="wheelwork-serving-") as folder, Place(Path(folder)) as place:
            figures += asyncio.run(CASES[name](place, 0.1 if chosen.quick else 1.0))
    if chosen.engine:
        with (
            tempfile.TemporaryDirectory(prefix="wheelwork-serving-") as folder,
            Place(Path(folder), chosen.engine) as place,
        ):
            figures += asyncio.run(beside_an_engine(place, chosen.engine))
    whole = not chosen.quick and chosen.only == list(CASES)
    publish("serving" if whole else "serving-quick", figures)


async def latency(place: Place, share: float) -> list[Figure]:
    """At 200 requests a second, through the gateway and straight to the mock, in turns."""
    port = place.gateway()
    ways = {"mock": place.mock, SYSTEM: port}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    await open_loop(port, RATE, 2, partial(_ask, port))  # warm
    for turn in range(6):
        for name in sorted(ways, reverse=bool(turn % 2)):
            replies = await open_loop(ways[name], RATE, max(2.0, 10 * share), partial(_ask, ways[name]))
            assert all(reply.status == 200 for reply in replies)
            taken[name] += [reply.seconds for reply in replies]
    case = f"{RATE} requests a second"
    figures = [Figure(case, SYSTEM, "requests", len(taken[SYSTEM]), "requests")]
    for metric, at in (("p50", 0.5), ("p99", 0.99)):
        own = {name: percentile(values, at) * 1000 for name, values in taken.items()}
        figures += [Figure(case, name, metric, value, "ms") for name, value in own.items()]
        figures.append(Figure(case, SYSTEM, f"{metric} added", own[SYSTEM] - own["mock"], "ms"))
    return figures


async def throughput(place: Place, share: float) -> list[Figure]:
    """As many requests as 32 connections get through, every one stored."""
    port = place.gateway()
    await closed_loop(port, CONNECTIONS, lambda number: number < 2000, partial(_ask, port))
    rates, bad = [], 0
    asked, spent = 0, processor(place.pid)
    for _ in range(3):
        end = time.perf_counter() + max(3.0, 20 * share)
        statuses: list[int] = []
        heard = lambda reply, statuses=statuses: statuses.append(reply.status)  # noqa: E731
        rates.append(
            await closed_loop(
                port, CONNECTIONS, lambda _, end=end: time.perf_counter() < end, partial(_ask, port), heard
            )
        )
        bad += sum(status != 200 for status in statuses)
        asked += len(statuses)
    spent = (processor(place.pid) - spent) / asked
    mock = await closed_loop(place.mock, CONNECTIONS, lambda number: number < 20_000, partial(_ask, place.mock))
    stored = place.stored_after(10)
    case = f"{CONNECTIONS} connections, traffic stored"
    return [
        Figure(case, SYSTEM, "requests a second, median of 3", sorted(rates)[1], "1/s"),
        Figure(case, SYSTEM, "requests a second, least of 3", min(rates), "1/s"),
        Figure(case, SYSTEM, "processor time of a request, with storing", spent * 1000, "ms"),
        Figure(case, SYSTEM, "answers that were no 200", bad, "requests"),
        Figure(case, SYSTEM, "exchanges in the database", stored, "rows"),
        Figure(case, "mock alone", "requests a second", mock, "1/s"),
    ]


async def cached(place: Place, share: float) -> list[Figure]:
    """Questions as users ask them, some again and again, of an engine with 8 places of 20 ms each."""
    rates: dict[str, float] = {}
    draw = zipf(2000, 1.1, random.Random(3))
    for name, cache in (("uncached", False), ("cached and coalesced", True)):
        port = place.gateway("--slots", "8", "--service", "20", *(["--cache"] if cache else []))
        end = time.perf_counter() + max(3.0, 20 * share)
        ask = lambda number, port=port: question(port, f"question {draw(number)}", temperature=0)  # noqa: E731
        rates[name] = await closed_loop(port, 64, lambda _, end=end: time.perf_counter() < end, ask)
        place.stop_gateway()
    case = "Zipf mix of 2,000 questions, 8 places of 20 ms"
    figures = [Figure(case, name, "requests a second", rate, "1/s") for name, rate in rates.items()]
    ratio = rates["cached and coalesced"] / rates["uncached"]
    return [*figures, Figure(case, SYSTEM, "times the throughput", ratio, "×")]


async def memory(place: Place, share: float) -> list[Figure]:
    """What the gateway holds while it answers 200,000 requests."""
    port, many = place.gateway(), int(200_000 * share)
    held = []
    for _ in range(10):
        await closed_loop(port, CONNECTIONS, lambda number: number < many // 10, partial(_ask, port))
        held.append(resident(place.pid) / 2**20)
    case = f"{many:,} requests"
    return [
        Figure(case, SYSTEM, "memory after a tenth", held[0], "MB"),
        Figure(case, SYSTEM, "memory after a half", held[4], "MB"),
        Figure(case, SYSTEM, "memory at the end", held[-1], "MB"),
        Figure(case, SYSTEM, "most", max(held), "MB"),
    ]


async def beside_an_engine(place: Place, engine: int) -> list[Figure]:
    """One request after the other to a real engine's server, straight and through the gateway, in turns."""
    port = place.gateway()
    taken: dict[str, list[float]] = {"engine": [], SYSTEM: []}
    for number in range(60):
        for name, where in (("engine", engine), (SYSTEM, port)):
            ask = lambda _, where=where, number=number: question(where, f"question {number}", temperature=0)  # noqa: E731
            heard = taken[name].append
            await closed_loop(where, 1, lambda asked: asked < 1, ask, lambda reply, heard=heard: heard(reply.seconds))
    return [
        Figure("one at once, a real engine", name, "p50", percentile(values, 0.5) * 1000, "ms")
        for name, values in taken.items()
    ]


def _ask(port: int, number: int) -> bytes:
    return question(port, f"My connection has failed since {number} o'clock, what now?", user=f"user {number % 997}")


CASES: dict[str, Callable[..., object]] = {
    "latency": latency,
    "throughput": throughput,
    "cached": cached,
    "memory": memory,
    "swapped": swapped,
    "killed": killed,
    "hooked": hooked,
}

if __name__ == "__main__":
    main()
