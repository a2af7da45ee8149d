"""Canaries against chance: harmful ones that are rolled back, harmless ones that are not, beside other rules.

    python -m wheelwork.benchmarks.canary             two minutes: table, benchmarks/results/canary.json, the picture
    python -m wheelwork.benchmarks.canary --quick     fewer trials, no picture: whether it runs

Every trial goes through the stages 5%, 25% and 100% with the settings' defaults, and is looked at after each request. A
sample of the trials is given to the Canary itself as well, request by request, and the run fails where one ends
otherwise, or where a bar of docs/canary.md is missed.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from wheelwork.core.serving.canary.settings import CanarySettings

from .canary_itself import Itself
from .canary_peers import Peers, peers
from .canary_simulations import Ended, many, trial
from .canary_worlds import World
from .gate import Bar
from .results import Figure, publish

OURS = "wheelwork"
SEED, HORIZON, SHARE = 7_341, 20_000, 0.05
MOST, OF_FEW = 120_000, 30_000  # requests of a trial; of one that few users make, as they count once
ASKED_FOR = 16_000  # requests of a trial that the Canary is asked of too
DOCS = Path(__file__).parents[1] / "docs"
HARMLESS = (
    World("harmless"),
    World("harmless, 2,000 users unlike each other", users=2_000),
)
SLOWLY = World("errors +5 points, 2,000 users unlike each other", errors=(0.01, 0.06), users=2_000)
"""Told, but held to no bar: the 100 users of the first stage are too few to be sure with all of them counted once."""
HARMFUL = (
    World("errors +5 points", errors=(0.01, 0.06)),
    World("thumbs down 20% → 35%", displeased=(0.2, 0.35)),
    World("latency +50%", slower=1.5),
    World("judge −0.1", judge=(0.8, 0.7)),
)
LIMITS = CanarySettings.model_validate({"judge": {"share": 0.2}, "min_minutes": 0})
"""The defaults, with a judge."""


class Size(NamedTuple):
    """How many trials are simulated of each world, harmless and harmful, and of how many the Canary itself is asked."""

    harmless: int = 400
    harmful: int = 200
    asked: int = 2


QUICK = Size(20, 10, 1)


def main() -> None:
    options = argparse.ArgumentParser(description="Canaries against chance, beside other rules.")
    options.add_argument("--quick", action="store_true", help="fewer trials, no picture: whether it runs")
    quick: bool = options.parse_args().quick
    size, started = QUICK if quick else Size(), time.process_time()
    figures: list[Figure] = []
    bars: list[Bar] = []
    looked: dict[str, list[Peers]] = {}
    ended: dict[str, list[Ended]] = {}
    for world in (*HARMLESS, *HARMFUL, SLOWLY):
        times, most = size.harmful if world.harmful else size.harmless, OF_FEW if world.users else MOST
        ended[world.name] = list(many(lambda random, at=world, most=most: trial(at, LIMITS, random, most), times, SEED))
        looked[world.name] = list(many(lambda random, at=world: peers(at, SHARE, HORIZON, random), times, SEED + 1))
        told = [*_ours(world, ended[world.name]), *_theirs(world, looked[world.name])]
        bars += _bars(world, told) if world is not SLOWLY else []
        figures += told
    asked, differ = _itself(size.asked)
    figures.append(Figure("trials over arrays", OURS, "asked of Canary too", asked, "trials"))
    figures.append(Figure("trials over arrays", OURS, "end otherwise there", differ, "trials"))
    figures.append(Figure("whole run", OURS, "processor time", time.process_time() - started, "CPU s"))
    publish("canary-quick" if quick else "canary", figures)
    if not quick:
        from .canary_plot import write_plot

        world = HARMLESS[0].name
        write_plot(DOCS / "canary.svg", ended[world], looked[world], HORIZON)
    bars.append(Bar("trials that end otherwise in Canary", differ, 0))
    for bar in bars:
        print(bar.sentence)
    sys.exit(0 if all(bar.met for bar in bars) else 1)


def _ours(world: World, trials: Sequence[Ended]) -> Iterator[Figure]:
    back = [one.requests for one in trials if one.how == "rolled_back"]
    yield _percent(world, OURS, "rolled back", len(back) / len(trials))
    if world.harmful:
        yield from _requests(world, OURS, back)
        yield _percent(world, OURS, "at 5% of users then", sum(one.stage == 0 for one in trials) / len(trials))
        yield _percent(world, OURS, "still open", sum(one.how == "open" for one in trials) / len(trials))
    else:
        through = [one.requests for one in trials if one.how == "everybody"]
        yield _percent(world, OURS, "everybody got it", len(through) / len(trials))
        yield from _requests(world, OURS, through)


def _theirs(world: World, found: Sequence[Peers]) -> Iterator[Figure]:
    said = {
        f"z-test at every request, first {HORIZON:,}": [one.repeated for one in found],
        f"z-test at every request, 5% parted, first {HORIZON:,}": [one.spread for one in found],
        f"z-test once, after {HORIZON:,}": [one.fixed for one in found],
    }
    for name, requests in said.items():
        back = [one for one in requests if one]
        yield _percent(world, name, "rolled back", len(back) / len(requests))
        if world.harmful:
            yield from _requests(world, name, back)


def _requests(world: World, system: str, requests: Sequence[int]) -> Iterator[Figure]:
    if requests:
        yield Figure(world.name, system, "requests, median", float(np.median(requests)), "requests")
        yield Figure(world.name, system, "requests, 95%", float(np.quantile(requests, 0.95)), "requests")


def _itself(times: int) -> tuple[int, int]:
    """How many trials were given to the Canary itself, and how many ended otherwise there."""
    asked = differ = 0
    for world in (*HARMLESS, *HARMFUL, SLOWLY):
        for number in range(times):
            seeds = np.random.SeedSequence([SEED, number])
            arrays = trial(world, LIMITS, np.random.default_rng(seeds), ASKED_FOR)
            itself = Itself(world, LIMITS)(np.random.default_rng(seeds), ASKED_FOR)
            asked, differ = asked + 1, differ + (arrays != itself)
    return asked, differ


def _percent(world: World, system: str, metric: str, share: float) -> Figure:
    return Figure(world.name, system, metric, 100 * share, "%")


def _bars(world: World, figures: Sequence[Figure]) -> Iterator[Bar]:
    for one in figures:
        if one.system == OURS and one.metric == "rolled back":
            yield Bar(f"{world.name}, % rolled back", one.value, 99 if world.harmful else 5, not world.harmful)


if __name__ == "__main__":
    main()
