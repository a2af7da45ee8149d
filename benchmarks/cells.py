"""What benchmarks that train have in common: samples of a loop, trainings that are kept when done, paired differences.

A training with its answers is a cell. A cell that is done is kept in a folder, so a run that was killed goes on. The
answers come from the engine that serves, greedily, with the suite's own scorer.

    bench = Bench.of(loop, work, epochs=3, items=None)
    written = bench.write(seed)                                     the samples of a round of this seed
    cells = run(bench, [Planned("plain", seed, samples), …])        trained and answered, or read
    gain, low, high = difference(item_means(ours), item_means(theirs), bench.groups)
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
from wheelwork.core.digests import digest_of
from wheelwork.core.engines.base import Adapter
from wheelwork.core.evaluation.benchmark import answer_suite
from wheelwork.core.evaluation.statistics import cluster_bootstrap_interval
from wheelwork.core.evaluation.suites import Suite
from wheelwork.core.generation.fill import Rows, fill_orders
from wheelwork.core.loops import Loop, Overrides
from wheelwork.core.models.encoder import Encoder
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.samples import Sample
from wheelwork.core.teaching import Teachers
from wheelwork.core.training.focus.order import GRADE
from wheelwork.core.training.settings import Training
from wheelwork.core.training.trained import Trained
from wheelwork.core.workspace import write_text

from .arguments import loop_of, positive

RESAMPLES_SEED = 20_240
ROW_SECONDS, ITEM_SECONDS = 0.4, 0.37  # a row read in training, an item answered: 135M weights on two cores


class Cell(NamedTuple):
    """One training, and the score of each item; None where it could not be scored."""

    arm: str
    seed: int
    rows: int
    steps: int
    seconds: float
    scores: list[float | None]


class Planned(NamedTuple):
    """A cell to be: what is learnt from, how if not as the loop says, and what else `train_adapter` is given."""

    arm: str
    seed: int
    samples: Sequence[Sample]
    settings: Training | None = None
    options: dict[str, Any] = {}  # noqa: RUF012  # never written to
    about: Sequence[str] = ()  # digests of what `options` hold, so that another cell is another


class Written(NamedTuple):
    """What the teacher wrote for one seed, as far as it could be read, and what the funnel kept of it."""

    raw: list[Sample]
    kept: list[Sample]


@dataclass(frozen=True)
class Bench:
    """A loop, the suites that are answered, and the folder where finished cells are kept."""

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
        """The source of each item of the suites."""
        return [f"{suite.name} {item.group or item.id}" for suite in self.suites for item in suite.items]

    @property
    def settings(self) -> Training:
        """The loop's own training, for as many epochs as this benchmark takes."""
        return self.loop.settings.train.model_copy(update={"epochs": self.epochs})

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
            self.encoder(),
            seeds=[(one.text, one.label or "") for one in loop.seeds],
            held_out=[item.prompt for suite in loop.suites.values() for item in suite.items],
        )
        kept, _, _ = loop.settings.funnel.split(written, context)
        return Written(written, kept)

    def encoder(self) -> Encoder:
        """The encoder that the loop names."""
        return Encoder.load(ModelStore().get(self.loop.model_ref(self.loop.settings.encoder)))

    def cell(self, planned: Planned) -> Cell:
        """Train and answer; or what an earlier run found."""
        path = self.work / f"{self._name(planned)}.json"
        if path.is_file():
            return Cell(**json.loads(path.read_text(encoding="utf-8")))
        started, target = time.perf_counter(), self.work / "adapter"
        trained = self.train(planned, target)
        scores = self.answers(Adapter.at(target))
        seconds = time.perf_counter() - started
        cell = Cell(planned.arm, planned.seed, len(planned.samples), len(trained.losses), seconds, scores)
        write_text(path, json.dumps(cell._asdict()))
        return cell

    def train(self, planned: Planned, target: Path) -> Trained:
        """Train an adapter and write it to the folder `target`."""
        from wheelwork.core.training.trainer import train_adapter  # torch loads for seconds

        settings = planned.settings or self.settings
        return train_adapter(
            planned.samples,
            self.base,
            settings,
            seed=planned.seed,
            target=target,
            checkpoints=self.work,
            **planned.options,
        )

    def answers(self, adapter: Adapter) -> list[float | None]:
        """The score of every item of the suites, in the order of `groups`."""
        return asyncio.run(self._answered(adapter))

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

    def _name(self, planned: Planned) -> str:
        read: Any = [one.id for one in planned.samples]
        if planned.settings is not None or planned.about:
            weights = [one.weight for one in planned.samples]
            settings = (planned.settings or self.settings).model_dump(mode="json")
            read = [read, weights, settings, list(planned.about)]
        if any(grades := [one.controls.get(GRADE, "") for one in planned.samples]):  # which an id does not tell
            read = [read, grades]
        return f"{planned.arm.replace(', ', '-').replace(' ', '-')}-{planned.seed}-{digest_of(read)[:16]}"


def run(bench: Bench, planned: Sequence[Planned]) -> list[Cell]:
    """Every cell in its order; tells how each ended, and how long the rest may take."""
    left = [bench.estimate(len(one.samples)) for one in planned]
    print(
        f"{len(planned)} cells of {len(bench.groups)} items; about {sum(left) / 60:.0f} minutes to train and to answer "
        f"on two quiet cores; kept in {bench.work}",
        flush=True,
    )
    cells: list[Cell] = []
    for at, one in enumerate(planned):
        cells.append(cell := bench.cell(one))
        pace = sum(done.seconds for done in cells) / sum(left[: at + 1])
        print(
            f"{cell.arm}, seed {cell.seed}: {share(cell.scores):.3f} right; {cell.rows} rows, {cell.steps} steps, "
            f"{cell.seconds:.0f} s; about {pace * sum(left[at + 1 :]) / 60:.0f} minutes left",
            flush=True,
        )
    return cells


def options(about: str) -> argparse.ArgumentParser:
    """What the command line of such a benchmark takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", default="home_broadband", help="folder of a loop, or the name of a scenario")
    parser.add_argument("--samples", type=positive, help="how many to ask the teacher for; unset: what loop.yaml says")
    parser.add_argument("--seeds", type=positive, default=3, help="how many seeds")
    parser.add_argument("--epochs", type=positive, default=3, help="passes over the samples")
    parser.add_argument("--items", type=positive, help="most items of each target suite; unset: all")
    parser.add_argument("--work", type=Path, help="folder of finished cells; unset: in the user's cache folder")
    parser.add_argument("--quick", action="store_true", help="whether it runs: few samples and items, one epoch")
    return parser


def opened(chosen: argparse.Namespace, name: str, samples: int = 16, items: int = 24) -> tuple[Bench, str]:
    """The loop that was chosen, and the name of the results of the benchmark `name` on it.

    `samples` and `items` are how many a quick run takes, on one seed for one epoch.
    """
    if chosen.quick:
        chosen.samples, chosen.seeds, chosen.epochs, chosen.items = samples, 1, 1, items
    work = chosen.work or platformdirs.user_cache_path("wheelwork") / f"{name}-benchmark"
    loop = loop_of(chosen.loop, Overrides(samples=chosen.samples))
    if loop.settings.funnel.asking:
        raise SystemExit(
            f"{chosen.loop}: its funnel asks teachers, which this benchmark does not start; leave these out"
        )
    results = name if chosen.loop == "home_broadband" else f"{name}-{loop.name}"
    return Bench.of(loop, work, chosen.epochs, chosen.items), f"{results}-quick" if chosen.quick else results


def few(suite: Suite, items: int | None) -> Suite:
    """`suite` with at most `items` of its items, from its first to its last."""
    if items is None or len(suite.items) <= items:
        return suite
    places = [at * len(suite.items) // items for at in range(items)]
    return replace(suite, items=tuple(suite.items[at] for at in places), lines=tuple(suite.lines[at] for at in places))


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
    """Mean of `better` minus `worse` over the items that both have, and its 95% interval from drawing items again."""
    pairs = [
        (one - other, group)
        for one, other, group in zip(better, worse, groups, strict=True)
        if one is not None and other is not None
    ]
    differences, sources = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return float(np.mean(differences)), *cluster_bootstrap_interval(differences, sources, RESAMPLES_SEED)


def seed_interval(better: Sequence[Cell], worse: Sequence[Cell]) -> tuple[float, float] | None:
    """The 95% interval of the mean difference of two arms over seeds: paired, by Student's t with n − 1 degrees.

    What another seed would change, on these items; None with fewer than two seeds. The cells are in the order of the
    same seeds.
    """
    from scipy.stats import t

    differences = np.array([share(a.scores) - share(b.scores) for a, b in zip(better, worse, strict=True)])
    if len(differences) < 2 or not np.isfinite(differences).all():
        return None
    half = float(t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences)))
    return float(differences.mean()) - half, float(differences.mean()) + half
