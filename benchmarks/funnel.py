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

A training with its answers is a cell (cells.py). One that is done is kept (`--work`); a run that was killed goes on.
"""

import random
from collections.abc import Sequence

import numpy as np
from wheelwork.core.samples import Sample

from .cells import Bench, Cell, Planned, difference, item_means, opened, options, share
from .cells import run as run_cells
from .results import Figure, publish

OURS = "wheelwork"
SEEDS, RAW, FILTERED, CUT = ARMS = ("seeds", "raw", "filtered", "raw, cut")
PAIRS = ((FILTERED, RAW), (FILTERED, CUT), (FILTERED, SEEDS), (RAW, SEEDS))


def main() -> None:
    chosen = options(__doc__ or "").parse_args()
    bench, name = opened(chosen, "funnel")
    publish(name, figures(bench.loop.name, run(bench, range(chosen.seeds)), bench.groups))


def run(bench: Bench, seeds: Sequence[int]) -> list[Cell]:
    """Every cell; tells what it is at, and what is left to wait for."""
    written = {}
    for seed in seeds:
        written[seed] = bench.write(seed)
        print(f"seed {seed}: {len(written[seed].raw)} samples, {len(written[seed].kept)} kept", flush=True)
    seeding = bench.loop.material.seed_samples()
    return run_cells(
        bench,
        [Planned(arm, seed, [*seeding, *part]) for seed in seeds for arm, part in arms(*written[seed], seed).items()],
    )


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


if __name__ == "__main__":
    main()
