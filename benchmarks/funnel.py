"""Does filtering help? One loop trained on what its teacher wrote, before and after the funnel, on three seeds.

    python -m wheelwork.benchmarks.funnel                    scenarios/home_broadband
    python -m wheelwork.benchmarks.funnel --loop FOLDER      another loop, such as `wheelwork init` makes
    python -m wheelwork.benchmarks.funnel --quick            16 samples, 24 items, one epoch, one seed: whether it runs

For each seed the loop's teacher writes one wave of samples, and the loop's funnel sifts it. Then the loop's base is
trained from the beginning on each of

    seeds             the loop's seeds alone
    raw               seeds, and every sample that could be read
    filtered          seeds, and what the funnel kept of these
    raw, cut          seeds, and as many of the raw samples, drawn at random, as the funnel kept

with the loop's own settings but three epochs, and without rehearsal. Raw and filtered have the same epochs, so raw
takes more steps, which are among the figures; raw, cut takes as many steps as filtered. Each is asked every question
of the target suites through the engine that serves, greedily, with the suite's own scorer. The samples of a seed are
the same for all, so are the items: intervals are paired, 95%, from drawing the items again, each with the mean of its
scores over the seeds.

A training with its answers is a cell. A cell that is done is kept (`--work`), and a run that was killed goes on.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
from wheelwork.core.digests import digest_of
from wheelwork.core.engines.base import Adapter
from wheelwork.core.evaluation.benchmark import answer_suite
from wheelwork.core.evaluation.statistics import cluster_bootstrap_interval
from wheelwork.core.evaluation.suites import Suite
from wheelwork.core.generation.fill import Rows, fill_orders
from wheelwork.core.loops import Loop, Overrides, find_loop, load_loop
from wheelwork.core.models.encoder import Encoder
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.samples import Sample
from wheelwork.core.teaching import Teachers
from wheelwork.core.workspace import write_text

from .results import Figure, publish

OURS = "wheelwork"
SEEDS, RAW, FILTERED, CUT = ARMS = ("seeds", "raw", "filtered", "raw, cut")
PAIRS = ((FILTERED, RAW), (FILTERED, CUT), (FILTERED, SEEDS), (RAW, SEEDS))
RESAMPLES_SEED = 20_240
ROW_SECONDS, ITEM_SECONDS = 0.2, 0.25  # a row read in training, an item answered: 135M weights on two cores


class Cell(NamedTuple):
    """One training, and the score of each item; None where it could not be scored."""

    arm: str
    seed: int
    rows: int
    steps: int
    seconds: float
    scores: list[float | None]


class Written(NamedTuple):
    """What the teacher wrote for one seed, as far as it could be read, and what the funnel kept of it."""

    raw: list[Sample]
    kept: list[Sample]


@dataclass(frozen=True)
class Bench:
    """A loop with the settings of this benchmark, and the folder where finished cells are kept."""

    loop: Loop
    base: ModelFiles
    work: Path
    epochs: int
    suites: tuple[Suite, ...]

    @classmethod
    def of(cls, loop: Loop, work: Path, epochs: int, items: int | None) -> "Bench":
        """With at most so many items of each target suite, spread over it."""
        base = ModelStore().get(loop.model_ref(loop.settings.model))
        engine = loop.engine_for(base).fingerprint(base)
        suites = tuple(few(suite, items) for suite in loop.suites.values() if suite.settings.role == "target")
        # another loop, base, number of epochs or of items has cells of its own
        identity = digest_of([loop.digest, engine, epochs, items])[:16]
        return cls(loop, base, work / f"{loop.name}-{identity}", epochs, suites)

    @property
    def groups(self) -> list[str]:
        """The source of each item of the target suites."""
        return [f"{suite.name} {item.group or item.id}" for suite in self.suites for item in suite.items]

    def write(self, seed: int) -> Written:
        """One wave of samples and its sifting; replies are kept, so that a second call asks nobody."""
        loop = self.loop
        wanted = loop.material.next_wave({}, 0, 0)
        with ExitStack() as stack:
            teachers = Teachers(loop.settings.teachers("writer"), loop.embedded, loop.engine_for)
            teaching = teachers.open(self.work, loop.settings.generate.budget, stack)
            # the very samples of a round of this seed
            orders = loop.material.orders(wanted, choices=teaching.choices, seed=int(digest_of([seed, 0])[:8], 16))
            stream = fill_orders(orders, loop.material.writing, teaching.chat, origin="teacher", source="teacher")
            written = [sample for sample in Rows(stream, teaching.chat) if sample.reject_reason is None]
        context = FunnelContext(
            Encoder.load(ModelStore().get(loop.model_ref(loop.settings.encoder))),
            seeds=[(one.text, one.label or "") for one in loop.seeds],
            held_out=[item.prompt for suite in loop.suites.values() for item in suite.items],
        )
        kept, _, _ = loop.settings.funnel.split(written, context)
        return Written(written, kept)

    def cell(self, arm: str, seed: int, samples: Sequence[Sample]) -> Cell:
        """Train on `samples` and answer; or what an earlier run found."""
        from wheelwork.core.training.trainer import train_adapter  # torch loads for seconds

        path = self.work / f"{arm.replace(', ', '-')}-{seed}-{digest_of([one.id for one in samples])[:16]}.json"
        if path.is_file():
            return Cell(**json.loads(path.read_text(encoding="utf-8")))
        started, target = time.perf_counter(), self.work / "adapter"
        settings = self.loop.settings.train.model_copy(update={"epochs": self.epochs})
        trained = train_adapter(samples, self.base, settings, seed=seed, target=target, checkpoints=self.work)
        scores = asyncio.run(self._answered(Adapter.at(target)))
        cell = Cell(arm, seed, len(samples), len(trained.losses), time.perf_counter() - started, scores)
        write_text(path, json.dumps(cell._asdict()))
        return cell

    async def _answered(self, adapter: Adapter) -> list[float | None]:
        scores: list[float | None] = []
        engine = self.loop.engine_for(self.base)
        with engine.start(self.base, {"cell": adapter}, self.work / "adapters") as serving:
            async with aclosing(serving.chat("cell")) as chat:
                for suite in self.suites:
                    scores += (await answer_suite(chat, suite, self.loop.render)).values
        return scores

    def estimate(self, rows: int) -> float:
        """Seconds that a cell of so many rows may take."""
        return rows * self.epochs * ROW_SECONDS + len(self.groups) * ITEM_SECONDS


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--loop", default="home_broadband", help="folder of a loop, or the name of a scenario")
    options.add_argument("--samples", type=int, help="how many to ask the teacher for; unset: what loop.yaml says")
    options.add_argument("--seeds", type=int, default=3, help="how many seeds")
    options.add_argument("--epochs", type=int, default=3, help="passes over the samples")
    options.add_argument("--items", type=int, help="most items of each target suite; unset: all")
    options.add_argument("--work", type=Path, help="folder of finished cells; unset: in the user's cache folder")
    options.add_argument("--quick", action="store_true", help="whether it runs: few samples and items, one epoch")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.samples, chosen.seeds, chosen.epochs, chosen.items = 16, 1, 1, 24
    folder = find_loop(chosen.loop)
    work = chosen.work or platformdirs.user_cache_path("wheelwork") / "funnel-benchmark"
    loop = load_loop(folder, Overrides(samples=chosen.samples))
    if loop.settings.funnel.asking:
        raise SystemExit(f"{folder}: its funnel asks teachers, which this benchmark does not start; leave these out")
    bench = Bench.of(loop, work, chosen.epochs, chosen.items)
    name = "funnel" if chosen.loop == "home_broadband" else f"funnel-{loop.name}"
    publish(
        f"{name}-quick" if chosen.quick else name, figures(loop.name, run(bench, range(chosen.seeds)), bench.groups)
    )


def run(bench: Bench, seeds: Sequence[int]) -> list[Cell]:
    """Every cell; tells what it is at, and what is left to wait for."""
    asked = bench.loop.settings.generate.samples
    minutes = bench.estimate(len(bench.loop.seeds) + asked) / 60
    print(
        f"{len(seeds) * len(ARMS)} cells of {len(bench.groups)} items, {minutes:.1f} minutes or less each on two quiet "
        f"cores, after {asked} samples a seed are written; kept in {bench.work}",
        flush=True,
    )
    written = {}
    for seed in seeds:
        written[seed] = bench.write(seed)
        print(f"seed {seed}: {len(written[seed].raw)} samples, {len(written[seed].kept)} kept", flush=True)
    seeding = bench.loop.material.seed_samples()
    todo = [(arm, seed, [*seeding, *part]) for seed in seeds for arm, part in arms(*written[seed], seed).items()]
    left = [bench.estimate(len(samples)) for _, _, samples in todo]
    print(f"about {sum(left) / 60:.0f} minutes to train and to answer on two cores", flush=True)
    cells: list[Cell] = []
    for at, (arm, seed, samples) in enumerate(todo):
        cells.append(cell := bench.cell(arm, seed, samples))
        pace = sum(one.seconds for one in cells) / sum(left[: at + 1])
        print(
            f"{arm}, seed {seed}: {share(cell.scores):.3f} right; {cell.rows} rows, {cell.steps} steps, "
            f"{cell.seconds:.0f} s; about {pace * sum(left[at + 1 :]) / 60:.0f} minutes left",
            flush=True,
        )
    return cells


def few(suite: Suite, items: int | None) -> Suite:
    """`suite` with at most `items` of its items, from its first to its last."""
    if items is None or len(suite.items) <= items:
        return suite
    places = [at * len(suite.items) // items for at in range(items)]
    return replace(suite, items=tuple(suite.items[at] for at in places), lines=tuple(suite.lines[at] for at in places))


def arms(raw: Sequence[Sample], kept: Sequence[Sample], seed: int) -> dict[str, Sequence[Sample]]:
    """What each arm learns from besides the seeds."""
    return {SEEDS: [], RAW: raw, FILTERED: kept, CUT: random.Random(seed).sample(raw, min(len(kept), len(raw)))}


def figures(case: str, cells: Sequence[Cell], groups: Sequence[str]) -> list[Figure]:
    """Shares right with their spread over the seeds, what was trained, and the paired differences."""
    by_arm = {arm: [cell for cell in cells if cell.arm == arm] for arm in ARMS}
    found = []
    for arm, own in by_arm.items():
        right = [share(cell.scores) for cell in own]
        found += [
            Figure(case, OURS, f"{arm}: right, mean of {len(own)} seeds", float(np.mean(right)), f"of {len(groups)}"),
            Figure(case, OURS, f"{arm}: right, least", min(right), f"of {len(groups)}"),
            Figure(case, OURS, f"{arm}: right, most", max(right), f"of {len(groups)}"),
            Figure(case, OURS, f"{arm}: rows", float(np.mean([cell.rows for cell in own])), "rows"),
            Figure(case, OURS, f"{arm}: steps", float(np.mean([cell.steps for cell in own])), "steps"),
        ]
    scores = {arm: item_means(own) for arm, own in by_arm.items()}
    for better, worse in PAIRS:
        gain, low, high = difference(scores[better], scores[worse], groups)
        found += [
            Figure(case, OURS, f"{better} - {worse}", gain, "share right"),
            Figure(case, OURS, f"{better} - {worse}, 95% from", low, "share right"),
            Figure(case, OURS, f"{better} - {worse}, 95% to", high, "share right"),
        ]
    wins = sum(
        share(one.scores) >= share(other.scores) for one, other in zip(by_arm[FILTERED], by_arm[RAW], strict=True)
    )
    return [*found, Figure(case, OURS, "seeds on which filtered is not below raw", wins, f"of {len(by_arm[RAW])}")]


def share(scores: Sequence[float | None]) -> float:
    """Mean of the items that were scored; NaN without any."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else float("nan")


def item_means(cells: Sequence[Cell]) -> list[float | None]:
    """The mean score of each item over the seeds; None where one of them has none."""
    columns = zip(*(cell.scores for cell in cells), strict=True)
    return [None if None in column else sum(filter(None, column)) / len(column) for column in columns]


def difference(
    better: Sequence[float | None], worse: Sequence[float | None], groups: Sequence[str]
) -> tuple[float, float, float]:
    """Mean of `better` minus `worse` over the items that both have, and its 95% interval."""
    pairs = [
        (one - other, group)
        for one, other, group in zip(better, worse, groups, strict=True)
        if one is not None and other is not None
    ]
    differences, sources = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return float(np.mean(differences)), *cluster_bootstrap_interval(differences, sources, RESAMPLES_SEED)


if __name__ == "__main__":
    main()
