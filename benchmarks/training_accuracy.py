"""Are adapters of the packed training as good as those of others? Three seeds, the same samples in the same order.

    python -m wheelwork.benchmarks.training_accuracy            seeds of home_broadband, two epochs
    python -m wheelwork.benchmarks.training_accuracy --quick    12 seeds, 12 items, one epoch, one seed: whether it runs

Ours, transformers' Trainer and TRL's SFTTrainer train as in training.py, each in a process of its own. Every adapter is
asked the questions of the target suite through the engine that serves, greedily. Intervals of the differences are
paired, 95%, from drawing the items again, each with the mean of its scores over the seeds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from wheelwork.core.engines.base import Adapter
from wheelwork.core.loops import load_loop
from wheelwork.core.naming import find_loop

from .arguments import positive
from .cells import Bench, Cell, difference, item_means, share
from .results import Figure, publish
from .training import OURS, Case, prepare, present

LOOP = "home_broadband"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="whether it runs: few seeds and items, once")
    options.add_argument("--items", type=positive, default=156, help="items of the target suite, spread over it")
    chosen = options.parse_args()
    rows, items, epochs, seeds = (12, 12, 1, 1) if chosen.quick else (None, chosen.items, 2, 3)
    cells: dict[str, list[Cell]] = {}
    apart: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.of(load_loop(find_loop(LOOP)), Path(folder) / "cells", epochs, items)
        for seed in range(seeds):
            samples = bench.loop.material.seed_samples()[:rows]
            trained = one_seed(bench, Case(LOOP, samples, epochs, seed), Path(folder) / str(seed))
            for name, (cell, losses) in trained.items():
                cells.setdefault(name, []).append(cell)
                ours = trained[OURS][1]
                apart.setdefault(name, []).append(max(abs(a - b) for a, b in zip(ours, losses, strict=True)))
    publish("training-accuracy-quick" if chosen.quick else "training-accuracy", figures(cells, apart, bench.groups))


def one_seed(bench: Bench, case: Case, work: Path) -> dict[str, tuple[Cell, list[float]]]:
    """The cell of every trainer that runs here, and the loss of each step."""
    work.mkdir(parents=True)
    prepare(case, work)
    found = {}
    for name, train in present(work).items():
        done = train()
        scores = bench.answers(Adapter.at(work / "adapter"))
        cell = Cell(name, case.seed, len(case.samples), len(done.losses), done.ends[-1] - done.ends[0], scores)
        print(f"{name}, seed {case.seed}: {share(scores):.3f} right after {cell.steps} steps", flush=True)
        found[name] = cell, done.losses
    return found


def figures(cells: dict[str, list[Cell]], apart: dict[str, list[float]], groups: list[str]) -> list[Figure]:
    """Shares right over the seeds, ours minus each of the others, and how far the losses of a step were apart."""
    found = []
    for name, own in cells.items():
        right = [share(cell.scores) for cell in own]
        found += [
            Figure(LOOP, name, f"right, mean of {len(own)} seeds", float(np.mean(right)), f"of {len(groups)}"),
            Figure(LOOP, name, "right, least", min(right), f"of {len(groups)}"),
            Figure(LOOP, name, "right, most", max(right), f"of {len(groups)}"),
        ]
        if name != OURS:
            gain, low, high = difference(item_means(cells[OURS]), item_means(own), groups)
            found += [
                Figure(LOOP, OURS, f"right beyond {name}", gain, "share right"),
                Figure(LOOP, OURS, f"right beyond {name}, 95% from", low, "share right"),
                Figure(LOOP, OURS, f"right beyond {name}, 95% to", high, "share right"),
                Figure(LOOP, OURS, f"loss apart from {name}, most of any step", max(apart[name]), "nats"),
            ]
    return found


if __name__ == "__main__":
    main()
