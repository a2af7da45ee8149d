"""How often is drift told, where questions changed and where they did not? Windows drawn from files of real questions.

    python -m wheelwork.benchmarks.drift                    all questions of scenarios/home_broadband
    python -m wheelwork.benchmarks.drift --data FILE        another file with texts and labels, in any of five kinds
    python -m wheelwork.benchmarks.drift --draws 200        more pairs of windows

Each draw deals a file anew: a quarter of the labels is unknown to the loop, eight questions of each known label are its
seeds, and the rest is dealt into two windows without a question in both. The intents are what the seeds' nearest means
say, as `collect` has it, so that a new intent goes by the name of an old one. The first window asks of known labels,
as often as the file does; the second is one of these:

    the same         drawn alike: whatever is told is a false alarm
    N% new           so many of its questions are of the unknown labels
    one in three     every third label is asked for three times as often; questions may come twice
    longer           each question says a second one of the same label, too
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from wheelwork.core.errors import DataError
from wheelwork.core.evaluation.statistics import wilson_interval
from wheelwork.core.loops import LoopSettings
from wheelwork.core.models.encoder import Encoder
from wheelwork.core.models.store import ModelStore
from wheelwork.core.naming import find_loop
from wheelwork.core.people.nearest_mean import fit_nearest_mean
from wheelwork.core.quality.batch.findings import Finding
from wheelwork.core.quality.batch.remembered import Remembered
from wheelwork.core.quality.batch.sides import Side
from wheelwork.core.quality.files.source import SourceFile
from wheelwork.core.samples import Sample
from wheelwork.core.traffic.drift import Drift, drifted, measured

from .arguments import positive, refusing
from .results import Figure, publish

SCENARIO = "home_broadband"
FILES = ("seeds.jsonl", "holdout.jsonl", "dev.jsonl", "drift.jsonl")
ROWS = 200
SEEDS = 8  # questions of each known label
NEW = (0.1, 0.25, 0.5)


class Labelled(NamedTuple):
    """A question and its label."""

    text: str
    label: str


class Dealt(NamedTuple):
    """What one draw has: the loop's seeds, and what is asked of known and of unknown labels."""

    seeds: list[Labelled]
    known: list[Labelled]
    unknown: list[Labelled]


Change = Callable[[random.Random, Dealt, int], list[Labelled]]


def dealt(said: Sequence[Labelled], draw: random.Random) -> Dealt:
    """A quarter of the labels becomes unknown, and of each other one a few questions become seeds."""
    labels = sorted({one.label for one in said})
    unknown = set(draw.sample(labels, len(labels) // 4))
    of: dict[str, list[Labelled]] = {label: [] for label in labels}
    for one in draw.sample(said, len(said)):
        of[one.label].append(one)
    seeds = [one for label in labels if label not in unknown for one in of[label][:SEEDS]]
    known = [one for label in labels if label not in unknown for one in of[label][SEEDS:]]
    others = [one for label in sorted(unknown) for one in of[label]]
    return Dealt(seeds, draw.sample(known, len(known)), draw.sample(others, len(others)))


def same(draw: random.Random, given: Dealt, rows: int) -> list[Labelled]:
    return given.known[:rows]


def new(share: float) -> Change:
    def change(draw: random.Random, given: Dealt, rows: int) -> list[Labelled]:
        others = given.unknown[: round(rows * share)]
        return others + given.known[: rows - len(others)]

    return change


def often(draw: random.Random, given: Dealt, rows: int) -> list[Labelled]:
    favoured = set(sorted({one.label for one in given.known})[::3])
    # with repeats: a file has too few questions of a third of its labels for a window of mostly these
    return draw.choices(given.known, [3 if one.label in favoured else 1 for one in given.known], k=rows)


def longer(draw: random.Random, given: Dealt, rows: int) -> list[Labelled]:
    more = {one.label: one.text for one in sorted((*given.seeds, *given.known), reverse=True)}  # in each draw the same
    return [Labelled(f"{one.text} {more[one.label]}", one.label) for one in given.known[:rows]]


CHANGES: dict[str, Change] = {
    "the same": same,
    **{f"{share:.0%} new": new(share) for share in NEW},
    "one in three": often,
    "longer": longer,
}


def findings(
    first: Sequence[Labelled], second: Sequence[Labelled], seeds: Sequence[Labelled], embed: Remembered
) -> list[Finding]:
    """What is found on the second window beside the first."""
    texts = [one.text for one in seeds]
    model = fit_nearest_mean(embed(texts), [one.label for one in seeds], [True] * len(seeds))
    settings = Drift(hours=0)
    before, recent = (measured(_side(window, settings), texts, model, embed) for window in (first, second))
    return drifted(recent, before, settings)


def _side(window: Sequence[Labelled], settings: Drift) -> Side:
    samples = (Sample.of_turns([("user", one.text)], task="traffic", origin="human") for one in window)
    return Side.of(samples, settings.texts)


def questions(files: Sequence[Path]) -> list[Labelled]:
    """Every question of the files with a label, the first of equal ones. Raises DataError."""
    found: dict[str, Labelled] = {}
    for file in files:
        for batch in SourceFile(file):
            for sample in batch.samples(range(len(batch))):
                if isinstance(sample, Sample) and sample.label and sample.prompt:
                    found.setdefault(sample.prompt, Labelled(sample.prompt, sample.label))
    return list(found.values())


def run(case: str, said: Sequence[Labelled], draws: int, rows: int, embed: Remembered) -> list[Figure]:
    """The share of the pairs in which drift is told, by change; and by which check. Prints each when it is done.

    Raises DataError for too few questions.
    """
    figures = []
    for name, change in CHANGES.items():
        started, found = time.perf_counter(), []
        for number in range(draws):
            draw = random.Random(f"{name} {number}")
            given = dealt(said, draw)
            first, given = given.known[:rows], given._replace(known=given.known[rows:])
            second = change(draw, given, rows)
            if min(len(first), len(second)) < rows:
                raise DataError(
                    f"{len(said)} questions with labels are too few for two windows of {rows}; give more --data or "
                    "fewer --rows"
                )
            found.append(findings(first, second, given.seeds, embed))
        told = [{one.check for one in each if one.outcome == "warn"} for each in found]
        unknown = sum(any(one.check == "kl" and one.outcome == "unknown" for one in each) for each in found)
        share, interval = sum(map(bool, told)) / draws, wilson_interval(sum(map(bool, told)), draws)
        figures += [
            Figure(case, name, "told", share, f"of {draws}"),
            Figure(case, name, "told, 95% from", interval[0], "share"),
            Figure(case, name, "told, 95% to", interval[1], "share"),
            *(Figure(case, name, f"told by {check}", sum(check in one for one in told) / draws, "share")
              for check in ("ks", "psi", "kl", "distance")),
            Figure(case, name, "too few questions to compare intents", unknown / draws, "share"),
        ]  # fmt: skip
        print(f"{name}: told in {share:.0%} of {draws} pairs, {time.perf_counter() - started:.0f} s", flush=True)
    return figures


def main() -> None:
    """Print the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", help="files of questions with labels")
    parser.add_argument("--draws", type=positive, default=100, help="pairs of windows of each change")
    parser.add_argument("--rows", type=positive, default=ROWS, help="questions of a window")
    chosen = parser.parse_args()
    scenario = find_loop(SCENARIO)
    case = chosen.data[0].resolve().parent.name if chosen.data else SCENARIO
    with refusing():
        said = questions(chosen.data or [scenario / file for file in FILES])
        print(f"{len(said):,} questions of {len({one.label for one in said})} labels", flush=True)
        figures = run(case, said, chosen.draws, chosen.rows, Remembered(None, encoder))
    name = "-".join(["drift", *([case] if chosen.data else []), *([str(chosen.rows)] if chosen.rows != ROWS else [])])
    publish(name, figures)


def encoder() -> Encoder:
    """The encoder that loops name unless they say otherwise."""
    return Encoder.load(ModelStore().get(LoopSettings.model_fields["encoder"].default))


if __name__ == "__main__":
    main()
