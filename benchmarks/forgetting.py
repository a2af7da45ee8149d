"""What keeps a model from forgetting? Three rounds on three disjoint groups of labels, with each remedy and without.

    python -m wheelwork.benchmarks.forgetting                    scenarios/home_broadband
    python -m wheelwork.benchmarks.forgetting --loop FOLDER      another loop with labels
    python -m wheelwork.benchmarks.forgetting --quick            two rows a label, 6 items, one seed: whether it runs

The loop's labels are dealt to three groups. For each seed the rows of a group are the loop's seeds of its labels, and
what the loop's funnel keeps of what its teacher wrote for them. The first round trains on the first group, the second
on the second only, the third on the third only; the prompt names all labels in each. Every round's adapter is the next
one's champion, without a gate, and what a round is given of earlier groups is a draw of as many rows as the loop's
`replay` would draw, the same for all:

    scratch          each round begins with a fresh adapter and knows nothing of the last
    nothing          each round goes on from the champion, and keeps to nothing
    replay           … and trains on the drawn rows too
    ewc λ            … and is held to the champion by EWC, whose Fisher information is taken on the drawn rows
    champion_kl      … and trains on the drawn rows, held to the champion's answers there
    replay, ewc λ    … and both trains on the drawn rows and is held by EWC, at the strength in the middle

The first round is the same for all, and done once. After each round every question of the target suites is asked
through the engine that serves. Intervals are 95%, from drawing the items again, each with the mean of its scores over
the seeds; a round with its answers is a cell, and a run that was killed goes on from the last one that is done.
"""

import argparse
import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError
from wheelwork.core.digests import digest_of
from wheelwork.core.engines.base import Adapter
from wheelwork.core.loops import Loop
from wheelwork.core.pool.replay import shares
from wheelwork.core.samples import Sample
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.keeping.settings import ChampionKl, Ewc, Keep
from wheelwork.core.training.settings import Training
from wheelwork.core.workspace import write_text

from .cells import Bench, Cell, Planned, opened, options, share
from .forgetting_figures import NOTHING, ROUNDS, curves, figures
from .forgetting_plot import write_plot
from .results import FOLDER, publish

STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # from what holds nothing to what lets nothing new in


def strength(text: str) -> float:
    """For `type=`: what `strength` of EWC may be."""
    try:
        return Ewc.model_validate({"strength": text}).strength
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no strength of EWC: {error.errors()[0]['msg']}") from None


class Remedy(NamedTuple):
    """One way to train the second and the third round."""

    name: str
    start: Literal["scratch", "champion"] = "champion"
    replay: bool = False
    keep: tuple[Keep, ...] = ()


def remedies(strengths: Sequence[float], quick: bool = False) -> list[Remedy]:
    """All that are compared; few when it is only to be seen whether they run."""
    plain = [] if quick else [Remedy("scratch", start="scratch")]
    ewc = [Ewc(strength=one) for one in strengths]
    middle = ewc[len(ewc) // 2 : len(ewc) // 2 + 1]
    both = [] if quick else [Remedy(f"replay, ewc {one.strength:g}", replay=True, keep=(one,)) for one in middle]
    return [
        *plain,
        Remedy(NOTHING),
        *([] if quick else [Remedy("replay", replay=True)]),
        *(Remedy(f"ewc {one.strength:g}", keep=(one,)) for one in ewc),
        Remedy("champion_kl", replay=True, keep=(ChampionKl(),)),
        *both,
    ]


class Lessons(NamedTuple):
    """What the rounds of one seed are given: the rows of each group, and of the earlier ones what is drawn again."""

    seed: int
    fresh: list[list[Sample]]
    drawn: list[list[Sample]]


def dealt(labels: Sequence[str]) -> dict[str, int]:
    """Label → its group. Neighbours in the file, which are often alike, go to different ones."""
    return {label: at % ROUNDS for at, label in enumerate(labels)}


def lessons(loop: Loop, samples: Sequence[Sample], seed: int) -> Lessons:
    """The samples by group, and a draw from the earlier groups for each round, as even over labels as they allow."""
    groups = dealt(list(loop.labels))
    fresh = [[one for one in samples if groups.get(one.label or "") == number] for number in range(ROUNDS)]
    replay, drawn = loop.settings.replay, []
    for number in range(ROUNDS):
        draw = random.Random(f"{seed}-{number}")
        by_label: dict[str, list[Sample]] = {}
        for one in (one for rows in fresh[:number] for one in rows):
            by_label.setdefault(one.label or "", []).append(one)
        wanted = min(replay.wanted(len(fresh[number])), sum(map(len, by_label.values())))
        quotas = shares({}, {label: len(rows) for label, rows in by_label.items()}, wanted)
        old = [one for label, rows in by_label.items() for one in draw.sample(rows, quotas[label])]
        drawn.append([one.model_copy(update={"weight": one.weight * replay.weight}) for one in old])
    return Lessons(seed, fresh, drawn)


class Chain:
    """Three rounds with one remedy on one seed; what is done is kept in a folder, and adapters until all is done."""

    def __init__(self, bench: Bench, remedy: Remedy, given: Lessons) -> None:
        self._bench, self._remedy, self._given = bench, remedy, given
        read = [[one.id for one in rows] for rows in (*given.fresh, *given.drawn)]
        settings = [self._settings(number).model_dump(mode="json") for number in range(ROUNDS)]
        identity = digest_of([read, settings, remedy.replay])[:16]
        self._folder = bench.work / f"{remedy.name.replace(', ', '-').replace(' ', '-')}-{given.seed}-{identity}"
        first = digest_of([read[0], settings[0]])[:16]
        self._first = bench.work / f"first-{given.seed}-{first}"

    def cells(self) -> list[Cell]:
        """The cell of each round."""
        found = [self._kept(number) for number in range(ROUNDS)]
        cells = [one for one in found if one is not None]
        if len(cells) < ROUNDS:
            cells = [self._cell(number) for number in range(ROUNDS)]
            for number in range(1, ROUNDS):
                shutil.rmtree(self._adapter(number), ignore_errors=True)
        return cells

    def _cell(self, number: int) -> Cell:
        last = number == ROUNDS - 1
        if (kept := self._kept(number)) is not None and (last or self._adapter(number).is_dir()):
            return kept
        started = time.perf_counter()
        fresh, drawn = self._given.fresh[number], self._given.drawn[number]
        samples = [*fresh, *drawn] if self._remedy.replay else fresh
        former = Former(Adapter.at(self._adapter(number - 1)), drawn) if number else Former()
        planned = Planned(
            self._remedy.name, self._given.seed, samples, self._settings(number), options={"former": former}
        )
        trained = self._bench.train(planned, self._adapter(number))
        scores = self._bench.answers(Adapter.at(self._adapter(number)))
        shutil.rmtree(self._bench.work / "adapters", ignore_errors=True)  # as the engine wants them, 20 MB each
        seconds = time.perf_counter() - started
        cell = Cell(self._remedy.name, self._given.seed, len(samples), len(trained.losses), seconds, scores)
        write_text(self._path(number), json.dumps(cell._asdict()))
        notes = "".join(f"; {note}" for note in trained.notes)
        print(
            f"{self._remedy.name}, seed {self._given.seed}, round {number + 1}: {share(scores):.3f} right in all; "
            f"{cell.rows} rows, {cell.steps} steps, {seconds:.0f} s{notes}",
            flush=True,
        )
        return cell

    def _settings(self, number: int) -> Training:
        later = {"start": self._remedy.start, "keep": self._remedy.keep}
        return self._bench.settings.model_copy(update=later if number else {"start": "scratch", "keep": ()})

    def _kept(self, number: int) -> Cell | None:
        path = self._path(number)
        if not path.is_file():
            return None
        return Cell(**json.loads(path.read_text(encoding="utf-8")))._replace(arm=self._remedy.name)

    def _path(self, number: int) -> Path:
        return self._of(number) / f"round-{number + 1}.json"

    def _adapter(self, number: int) -> Path:
        return self._of(number) / f"adapter-{number + 1}"

    def _of(self, number: int) -> Path:
        return self._folder if number else self._first


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--strengths", type=strength, nargs="+", default=STRENGTHS, help="strengths of EWC")
    chosen = parser.parse_args()
    bench, name = opened(chosen, "forgetting", samples=0, items=6)
    if len(bench.loop.labels) < ROUNDS:
        raise SystemExit(
            f"{chosen.loop}: this benchmark deals labels to {ROUNDS} rounds; give a loop with so many labels"
        )
    tried = remedies((0.01,) if chosen.quick else chosen.strengths, chosen.quick)
    found = run(bench, tried, range(chosen.seeds), rows_per_label=2 if chosen.quick else None)
    groups = group_of_items(bench)
    publish(name, figures(bench.loop.name, found, groups, bench.groups))
    write_plot(FOLDER / f"{name}.svg", curves(found, groups, bench.groups), f"{bench.loop.name}, seeds: {chosen.seeds}")
    print(f"drawn in {FOLDER / name}.svg")


def run(
    bench: Bench, tried: Sequence[Remedy], seeds: Sequence[int], rows_per_label: int | None = None
) -> dict[str, list[list[Cell]]]:
    """Every cell, one seed after the other, so that a run that is stopped early has whole seeds."""
    found: dict[str, list[list[Cell]]] = {remedy.name: [[] for _ in range(ROUNDS)] for remedy in tried}
    for seed in seeds:
        samples = bench.loop.material.seed_samples()
        if rows_per_label is None:
            samples += bench.write(seed).kept
        given = lessons(bench.loop, few_each(samples, rows_per_label), seed)
        rows = [len(one) for one in given.fresh]
        each = sum(bench.estimate(count) for count in rows[1:])
        minutes = (bench.estimate(rows[0]) + each * len(tried)) / 60
        print(f"seed {seed}: {rows} rows; about {minutes:.0f} minutes on two cores; kept in {bench.work}", flush=True)
        for remedy in tried:
            for number, cell in enumerate(Chain(bench, remedy, given).cells()):
                found[remedy.name][number].append(cell)
    return found


def few_each(samples: Sequence[Sample], most: int | None) -> list[Sample]:
    """At most so many samples of each label, the first ones; all of them for None."""
    seen: dict[str | None, int] = {}
    taken = []
    for one in samples:
        seen[one.label] = seen.get(one.label, 0) + 1
        if most is None or seen[one.label] <= most:
            taken.append(one)
    return taken


def group_of_items(bench: Bench) -> list[int | None]:
    """The group of each item of the suites, by its label; None for an item without one."""
    groups = dealt(list(bench.loop.labels))
    return [groups.get(item.label or "") for suite in bench.suites for item in suite.items]


if __name__ == "__main__":
    main()
