"""Hot swap and restart with llama.cpp and a real base: `wheelwork serve` as users run it, promotions as rounds do.

    python -m wheelwork.benchmarks.serving_engines             50 swaps, 10 kills: a quarter of an hour
    python -m wheelwork.benchmarks.serving_engines --quick     3 swaps and 2 kills, to see whether it runs
    python -m wheelwork.benchmarks.serving_engines --swaps 20 --only swapped

Each version says a label of its own to every message (`serving_versions`), so that a reply of two versions is seen.
The adapters are trained once, in some minutes, and kept in the user's cache folder. Each swap is an engine that is
started beside the old one, both in processes of their own. Memory is of gateway and engines together; what processes
share counts once.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
import psutil
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.loops import Loop
from wheelwork.core.models.store import ModelFiles, ModelStore

from .arguments import loop_of, positive
from .results import Figure, publish
from .serving_command import PATIENCE, Command, Promoting, came, runs
from .serving_load import Connection, Reply, closed_loop, connected, percentile, post, question
from .serving_swaps import SYSTEM, Swap, said, swap_figures
from .serving_versions import copied_loop, environment, kept_in, label_of, labels_of, questions

CLIENTS = 2  # each asks anew when it was answered; the engine answers one at a time
REST = 3.0  # seconds between a swap and the next promotion: the old engine lingers for two
OUTLIVES = 30.0  # seconds that an engine may live on after the gateway, before it is ended
RATE = 2.0  # questions a second of the case `beside`


class Place:
    """A state folder, the loop that is served, its adapters, and the processes that promote and serve."""

    def __init__(self, ref: str, folder: Path) -> None:
        self.folder = folder
        self.path = copied_loop(loop_of(ref), folder / "loop")
        self.loop: Loop = loop_of(str(self.path))
        self.base: ModelFiles = ModelStore().get(self.loop.model_ref(self.loop.settings.model))
        self.labels, self.texts = labels_of(self.loop), questions(self.loop)
        self.trained = kept_in(self.loop, self.base)
        self.home = folder / "home"
        self.newest = 0

    def __enter__(self) -> "Place":
        train = [sys.executable, "-m", "wheelwork.benchmarks.serving_versions", "train"]
        if subprocess.run([*train, str(self.path), str(self.trained)], env=environment(self.home)).returncode:
            raise SystemExit("the adapters could not be trained; the reason stands above")
        self._promoting = Promoting(self.path, self.home, self.trained)
        self.command = Command(self.path, self.home)
        return self

    def __exit__(self, *_: object) -> None:
        self.command.kill()
        self._promoting.close()

    async def promote(self) -> float:
        """Promote the next version; the moment before it became champion."""
        self.newest += 1
        promoted = await asyncio.to_thread(self._promoting, self.newest)
        return promoted.at

    async def served(self) -> None:
        """Have the newest version answer, of a gateway that is started if need be."""
        if not self.newest:
            await self.promote()
        self.command.kill()
        self.command.start()
        await self.command.ready()
        await self.answered_by(self.newest)

    async def answered_by(self, version: int) -> None:
        """Wait until a version answers. Raises SystemExit when it does not in three minutes."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            heard: list[Reply] = []
            await closed_loop(self.command.port, 1, lambda number: number < 1, self.ask, heard.append)
            if heard and said(heard[0]) == (str(version), label_of(self.labels, str(version))):
                return
        raise SystemExit(f"version {version} does not answer: {heard} {self.command.log.read_text()}")

    def ask(self, number: int) -> bytes:
        """A question as callers put it: the gateway puts the loop's prompt around it."""
        return question(self.command.port, self.texts[number % len(self.texts)], self.loop.name)


async def swapped(place: Place, swaps: int) -> list[Figure]:
    """Promotions while clients ask without pause: no reply fails, none is of two versions."""
    await place.served()
    heard: list[Reply] = []
    made, ended = list[Swap](), False
    async with place.command.watched() as looks:
        load = asyncio.create_task(
            closed_loop(place.command.port, CLIENTS, lambda _: not ended, place.ask, heard.append)
        )
        for _ in range(swaps):
            await asyncio.sleep(REST)
            at = await place.promote()
            first = await _first_answer(heard, place.newest)
            process = came(looks, at)
            made.append(Swap(str(place.newest), at, process, first))
            told = f"its engine’s process came {(process or float('nan')) - at:.1f} s after it was promoted"
            print(f"version {place.newest}: {told}, its first answer after {first - at:.1f} s", flush=True)
        await asyncio.sleep(REST)
        ended = True
        await load
    case = f"{swaps} promotions under {CLIENTS} clients without pause, {place.base.name}"
    return swap_figures(case, place.labels, heard, made, looks)


async def _first_answer(heard: Sequence[Reply], version: int) -> float:
    """When a version was first heard; infinity when it was not in three minutes."""
    looked, end = 0, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for reply in heard[looked:]:
            if said(reply)[0] == str(version):
                return reply.at
        looked = len(heard)
        await asyncio.sleep(0.02)
    return float("inf")


class Restart(NamedTuple):
    """Seconds: from the kill until the last engine was gone; from the next start until the process of an engine came,
    until the gateway was ready, and until the newest version answered."""

    gone: float
    engine: float
    ready: float
    newest: float


async def killed(place: Place, kills: int) -> list[Figure]:
    """SIGKILL under load, every second time in the midst of a swap: engines end too, and a start is quick."""
    await place.served()
    draw, left, made = random.Random(5), 0, list[Restart]()
    for number in range(kills):
        load = asyncio.create_task(closed_loop(place.command.port, CLIENTS, lambda _: True, place.ask))
        await asyncio.sleep(1)
        if number % 2:
            await place.promote()
            await asyncio.sleep(draw.uniform(0, 3))
        engines = place.command.engines()
        at = time.perf_counter()
        place.command.kill()
        await load
        left += await _gone(engines)
        gone = time.perf_counter() - at
        began = time.perf_counter()
        place.command.start()
        async with place.command.watched() as looks:
            await place.command.ready()
            ready = time.perf_counter() - began
        await place.answered_by(place.newest)
        newest = time.perf_counter() - began
        made.append(Restart(gone, (came(looks, began) or float("nan")) - began, ready, newest))
        print(f"kill {number + 1} of {kills}: ready again after {ready:.1f} s, the newest {newest:.1f} s", flush=True)
    loads = [_load_seconds(place) for _ in range(kills)]
    return restart_figures(f"{kills} kills under load, every second in a swap, {place.base.name}", made, left, loads)


def restart_figures(case: str, made: Sequence[Restart], left: int, loads: Sequence[float]) -> list[Figure]:
    """`left` are engines that had to be ended; `loads` seconds that an engine takes by itself."""
    load, ready = percentile(loads, 0.5), [one.ready for one in made]
    return [
        Figure(case, SYSTEM, "engines that did not end", left, "processes"),
        Figure(case, SYSTEM, "last engine ended after the gateway, longest", max(one.gone for one in made), "s"),
        Figure(
            case, SYSTEM, "start to the engine's process, median", percentile([one.engine for one in made], 0.5), "s"
        ),
        Figure(case, SYSTEM, "start to ready, median", percentile(ready, 0.5), "s"),
        Figure(case, SYSTEM, "start to ready, longest", max(ready), "s"),
        Figure(case, "engine alone", "start of its process to loaded, median", load, "s"),
        Figure(case, SYSTEM, "start to ready less that, median", percentile(ready, 0.5) - load, "s"),
        Figure(case, SYSTEM, "start to ready less that, longest", max(ready) - load, "s"),
        Figure(case, SYSTEM, "start to the newest version's answer, longest", max(one.newest for one in made), "s"),
    ]


async def _gone(pids: set[int]) -> int:
    """Wait until these processes have ended; how many had to be ended."""
    end = time.monotonic() + OUTLIVES
    while (left := [pid for pid in pids if runs(pid)]) and time.monotonic() < end:
        await asyncio.sleep(0.01)
    for pid in left:
        psutil.Process(pid).kill()
    return len(left)


def _load_seconds(place: Place) -> float:
    """How long the engine takes to load base and adapter in a process of its own, without a gateway."""
    began = time.perf_counter()
    with _engine(place).serve(place.base, {"one": _adapter(place)}, place.folder / "alone"):
        return time.perf_counter() - began


async def beside(place: Place, many: int) -> list[Figure]:
    """The same questions, one at a time: to the engine itself and through the gateway, in turns."""
    await place.served()
    taken: dict[str, list[float]] = {"engine alone": [], SYSTEM: []}
    differ, name = 0, "one"
    with _engine(place).serve(place.base, {name: _adapter(place)}, place.folder / "alone") as engine:
        port = int(engine.base_url.rpartition(":")[2].partition("/")[0])
        headers = [("Authorization", f"Bearer {engine.api_key}")]

        def straight(text: str) -> bytes:
            messages = [turn.model_dump() for turn in place.loop.writing().ask(text)]
            body = {"messages": messages, "max_tokens": 16, "temperature": 0, "lora": engine.scales(name)}
            return post(port, "/v1/chat/completions", orjson.dumps(body), headers)

        for number in range(-len(place.texts), many):  # the first round is not counted: both read the prompt whole
            text = place.texts[number % len(place.texts)]
            ways = {"engine alone": (port, straight(text)), SYSTEM: (place.command.port, place.ask(number))}
            texts = set()
            for system in sorted(ways, reverse=bool(number % 2)):
                await asyncio.sleep(0.5 / RATE)
                seconds, told = await _asked(*ways[system])
                texts.add(told)
                if number >= 0:
                    taken[system].append(seconds)
            differ += len(texts) != 1
            if number >= 0 and number % 50 == 49:
                print(f"{number + 1} of {many} questions, each asked both ways", flush=True)
    case = f"one question at a time, {place.base.name}"
    figures = [Figure(case, SYSTEM, "answers other than the engine's own", differ, f"of {many + len(place.texts)}")]
    for metric, at in (("p50", 0.5), ("p99", 0.99)):
        own = {system: percentile(values, at) * 1000 for system, values in taken.items()}
        figures += [Figure(case, system, metric, value, "ms") for system, value in own.items()]
        figures.append(Figure(case, SYSTEM, f"{metric} added", own[SYSTEM] - own["engine alone"], "ms"))
    return figures


async def _asked(port: int, request: bytes) -> tuple[float, str]:
    """Seconds, and the text that came. Raises SystemExit for an answer that is none."""
    connection: Connection = await connected(port)
    began = time.perf_counter()
    status, body = await connection.ask(request)
    seconds = time.perf_counter() - began
    connection.close()
    if status != 200:
        raise SystemExit(f"port {port} answered {status}: {body.decode()}")
    return seconds, str(orjson.loads(body)["choices"][0]["message"]["content"])


def _engine(place: Place) -> LlamaCpp:
    engine = place.loop.engine_for(place.base)
    assert isinstance(engine, LlamaCpp), "this benchmark is of llama.cpp"
    return engine


def _adapter(place: Place) -> Adapter:
    """One that says what the newest version says."""
    return Adapter.at(place.trained / label_of(place.labels, str(place.newest)))


CASES: dict[str, Callable[[Place, int], Awaitable[list[Figure]]]] = {
    "beside": beside,
    "swapped": swapped,
    "killed": killed,
}
TIMES = {"beside": 200, "swapped": 50, "killed": 10}
QUICK = {"beside": 12, "swapped": 3, "killed": 2}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--loop", default="home_broadband", help="folder of a loop, or the name of a scenario")
    options.add_argument("--quick", action="store_true", help="3 swaps and 2 kills; the file of results is another")
    options.add_argument("--swaps", type=positive, help="how many promotions")
    options.add_argument("--kills", type=positive, help="how many kills")
    options.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="some of the cases")
    chosen = options.parse_args()
    times = dict(QUICK if chosen.quick else TIMES)
    times.update({name: given for name, given in (("swapped", chosen.swaps), ("killed", chosen.kills)) if given})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the gateway does not outlive it
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="wheelwork-serving-") as folder, Place(chosen.loop, Path(folder)) as place:
        for name in chosen.only:
            figures += asyncio.run(CASES[name](place, times[name]))
    publish(result_name(times == TIMES and chosen.loop == "home_broadband", chosen.only), figures)


def result_name(full: bool, cases: Sequence[str]) -> str:
    """A case by itself, as often as in a whole run, has a file of its own."""
    if not full:
        return "serving-engines-quick"
    return "-".join(["serving-engines", *(cases if set(cases) != set(CASES) else ())])


if __name__ == "__main__":
    main()
