"""What to learn from, and in which order: each setting of `train.focus` and `train.order` beside plain training.

    python -m wheelwork.benchmarks.focus                    scenarios/home_broadband
    python -m wheelwork.benchmarks.focus --loop FOLDER      another loop, such as `wheelwork init` makes
    python -m wheelwork.benchmarks.focus --by base          measured on the base, as in a first round
    python -m wheelwork.benchmarks.focus --arms "top loss"  only some of the settings, beside plain training
    python -m wheelwork.benchmarks.focus --quick            few samples, items and settings, one seed: whether it runs

For each seed the loop's teacher writes one wave of samples, and the loop's funnel sifts it. The loop's base is trained
from the beginning on its seeds and what was kept, with the loop's own settings but three epochs, without rehearsal:
plainly, and with each setting. Where a setting asks what a model makes of the samples, that is the champion of a
second round: the base trained on the seeds alone.

Two settings have a set of data of their own, and are compared with plain training on that:

- `confidence` is for pseudo-labels: the seeds, and all texts of the wave that could be read, each with the label that
  its nearest mean gives it and the probability of that, down to a third; beside it the same rows that weigh the same;
- an order by `grade` needs samples that were written to a grade: the seeds, and what the funnel keeps of the wave of a
  loop that asks for grades, or else the messages of `graded.jsonl`. The embedded teacher cannot keep to a grade, so
  these were written by hand for the labels of home_broadband, twelve a label, to the rules of prompts/en/rules.yaml.
  Seeds have no grade and stand in the middle. What is indirect is longer, so there is an order by length beside it.

Every cell of a seed and a set of data learns from the same rows, which a setting may leave some of out, and answers the
same items, so differences are paired. Two 95% intervals: from drawing items again, each with the mean of its scores
over the seeds (what other items would change), and Student's over the seeds (what another seed would change).
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from wheelwork.core.engines.base import Adapter
from wheelwork.core.generation.example import Example
from wheelwork.core.loops import Loop
from wheelwork.core.people.nearest_mean import fit_nearest_mean
from wheelwork.core.people.pseudo import pseudo_labels
from wheelwork.core.people.traffic import Told
from wheelwork.core.pool.versions import View
from wheelwork.core.samples import Sample
from wheelwork.core.training.focus.order import GRADE
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.settings import Training

from .cells import Bench, Cell, Planned, difference, item_means, opened, options, run, seed_interval, share
from .results import Figure, publish

OURS = "wheelwork"
PLAIN, ALIKE, MIXED = "plain", "pseudo, all alike", "graded, by chance"
UNSURE = 1 / 3  # the least probability of a pseudo-label here: some have to be doubtful
SEEDS_QUICK = 12  # every so many-th seed
GRADED_QUICK = 13  # every so many-th row that was written to a grade: of each label one, of each grade some
WRITTEN_TO_GRADES = Path(__file__).with_name("graded.jsonl")

Settings = dict[str, Any]
Asked = Callable[[], Adapter]
"""The champion, trained when it is first asked for."""
ARMS: dict[str, Settings] = {
    PLAIN: {},
    "top loss": {"focus": [{"kind": "top_loss"}]},
    "top loss, rest a quarter": {"focus": [{"kind": "top_loss", "rest": 0.25}]},
    "gradient norm": {"focus": [{"kind": "gradient_norm"}]},
    "gradient norm, logits": {"focus": [{"kind": "gradient_norm", "of": "logits"}]},
    "gradient / (1 + entropy)": {"focus": [{"kind": "gradient_over_entropy"}]},
    "class weights": {"focus": [{"kind": "class_weights"}]},
    "easy first, loss": {"order": {"kind": "easy_first"}},
    "easy first, loss by label": {"order": {"kind": "easy_first", "by_label": True}},
    "easy first, length": {"order": {"kind": "easy_first", "difficulty": "length"}},
    "easy first, rarity": {"order": {"kind": "easy_first", "difficulty": "rarity"}},
    "competence, loss": {"order": {"kind": "competence"}},
    "competence, loss by label": {"order": {"kind": "competence", "by_label": True}},
    "competence, length": {"order": {"kind": "competence", "difficulty": "length"}},
}
GRADED: dict[str, Settings] = {
    MIXED: {},
    "graded, easy first": {"order": {"kind": "easy_first", "difficulty": "grade"}},
    "graded, competence": {"order": {"kind": "competence", "difficulty": "grade"}},
    "graded, easy first by length": {"order": {"kind": "easy_first", "difficulty": "length"}},
}
CONFIDENCE: dict[str, Settings] = {
    ALIKE: {},
    "pseudo, confidence": {"focus": [{"kind": "confidence"}]},
    "pseudo, confidence ^ 4": {"focus": [{"kind": "confidence", "sharpness": 4}]},
}
SETS = (ARMS, GRADED, CONFIDENCE)
"""What is trained on the same data, the plain training first."""
QUICK = (
    *(PLAIN, "top loss", "gradient / (1 + entropy)", "competence, loss"),
    *(MIXED, "graded, competence", ALIKE, "pseudo, confidence ^ 4"),
)


@dataclass(frozen=True)
class Compared:
    """One setting beside the plain training on the same data."""

    arm: str
    beside: str
    right: float
    gain: float
    items: tuple[float, float]  # 95%, over items
    seeds: tuple[float, float] | None  # 95%, over seeds; None with fewer than two
    rows: float
    steps: float


def main() -> None:
    parser = options(__doc__ or "")
    known = [arm for arms in SETS for arm in arms]
    parser.add_argument(
        "--arms",
        nargs="+",
        choices=known,
        default=known,
        metavar="ARM",
        help=f"of {', '.join(known)}; results are called -some",
    )
    parser.add_argument("--by", choices=("champion", "base"), default="champion", help="the model that measures")
    chosen = parser.parse_args()
    bench, name = opened(chosen, "focus")
    arms = {*(QUICK if chosen.quick else chosen.arms)}
    arms |= {beside(arm) for arm in arms}
    if chosen.by == "base":
        name += "-base"
    if not chosen.quick and set(chosen.arms) < set(known):
        name += "-some"
    plan = planned(bench, range(chosen.seeds), chosen.by == "champion", arms, chosen.quick)
    if not plan:
        parser.error(f"{bench.loop.name} has no samples for these settings; take other --arms")
    cells = run(bench, plan)
    found = [*compared(cells, bench.groups)]
    publish(name, figures(bench.loop.name, found, len(bench.groups)))
    show(found, chosen.seeds)


def planned(
    bench: Bench, seeds: Sequence[int], by_champion: bool, chosen: Collection[str], quick: bool
) -> list[Planned]:
    """Every cell of every seed; writes the samples of each, and trains its champion where one is asked."""
    seeding = bench.loop.material.seed_samples()[:: SEEDS_QUICK if quick else 1]
    cells: list[Planned] = []
    for seed in seeds:
        written = bench.write(seed)
        guessed = pseudo(bench, written.raw) if bench.loop.labels else []
        to_grades = graded(bench.loop, written.kept)[:: GRADED_QUICK if quick else 1]
        print(
            f"seed {seed}: {len(written.raw)} samples, {len(written.kept)} kept, {len(guessed)} pseudo-labelled, "
            f"{len(to_grades)} written to grades",
            flush=True,
        )
        champion = cache(partial(_champion, bench, seed, seeding)) if by_champion else None
        alike = [one.model_copy(update={"weight": 1.0}) for one in guessed]
        for arms, part in zip(SETS, (written.kept, to_grades, guessed), strict=True):
            for arm, changes in arms.items():
                if arm in chosen and (part or arms is ARMS):
                    given = alike if arm == ALIKE else part
                    cells.append(_cell(bench, arm, seed, [*seeding, *given], changes, champion))
    return cells


def _cell(
    bench: Bench, arm: str, seed: int, samples: Sequence[Sample], changes: Settings, champion: Asked | None
) -> Planned:
    settings = Training.model_validate(bench.settings.model_dump() | changes)
    if champion is None or not settings.measures:
        return Planned(arm, seed, samples, settings)
    return Planned(arm, seed, samples, settings, {"former": Former(champion())}, [champion().digest])


def _champion(bench: Bench, seed: int, seeding: Sequence[Sample]) -> Adapter:
    """The base trained on the seeds alone; of an earlier run where there is one."""
    folder: Path = bench.work / "champions" / f"{seed}-{len(seeding)}"
    if not folder.is_dir():
        print(f"seed {seed}: training the champion on {len(seeding)} seeds", flush=True)
        bench.train(Planned("champion", seed, seeding), folder)
    return Adapter.at(folder)


def pseudo(bench: Bench, written: Sequence[Sample]) -> list[Sample]:
    """The texts of `written` with the label that the seeds' nearest mean gives each, where it is not too unsure."""
    embed = bench.encoder()
    seeds = bench.loop.seeds
    model = fit_nearest_mean(
        embed([one.text for one in seeds]), [one.label or "" for one in seeds], [True] * len(seeds)
    )
    texts = list(dict.fromkeys(one.prompt for one in written))
    if not texts:
        return []
    vectors = embed(texts)
    told = [Told(texts, vectors, model.probabilities(vectors))]
    return pseudo_labels(told, bench.loop, View(), UNSURE, len(texts), "wave").samples


def graded(loop: Loop, kept: Sequence[Sample]) -> list[Sample]:
    """Samples that were written to a grade: those `kept` where `loop` asks for grades, else what was written by hand.

    Empty where the loop has other labels than those that they were written for.
    """
    if loop.settings.generate.controls.difficulty:
        return list(kept)
    rows = [json.loads(line) for line in WRITTEN_TO_GRADES.read_text(encoding="utf-8").splitlines()]
    if not {row["label"] for row in rows} <= loop.labels.keys():
        return []
    return [
        loop.material.writing.sample(
            Example(text=row["text"], answer=row["label"], label=row["label"], category=row["label"]),
            origin="import",
            source=f"{WRITTEN_TO_GRADES.name}:{number}",
            controls={GRADE: str(row["difficulty"])},
        )
        for number, row in enumerate(rows, start=1)
    ]


def beside(arm: str) -> str:
    """The plain training on the data of `arm`."""
    return next(next(iter(arms)) for arms in SETS if arm in arms)


def compared(cells: Sequence[Cell], groups: Sequence[str]) -> Iterator[Compared]:
    """Each arm beside the plain training on its data, in the order of the cells."""
    by_arm: dict[str, list[Cell]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(cell)
    for arm, own in by_arm.items():
        plain = beside(arm)
        gain, low, high = difference(item_means(own), item_means(by_arm[plain]), groups)
        yield Compared(
            arm=arm,
            beside=plain,
            right=float(np.mean([share(cell.scores) for cell in own])),
            gain=gain,
            items=(low, high),
            seeds=seed_interval(own, by_arm[plain]),
            rows=float(np.mean([cell.rows for cell in own])),
            steps=float(np.mean([cell.steps for cell in own])),
        )


def figures(case: str, found: Sequence[Compared], items: int) -> list[Figure]:
    """All of it as figures; what is not known is left out."""
    told = []
    for one in found:
        told += [
            Figure(case, OURS, f"{one.arm}: right", one.right, f"of {items}"),
            Figure(case, OURS, f"{one.arm}: rows given", one.rows, "rows"),
            Figure(case, OURS, f"{one.arm}: steps", one.steps, "steps"),
        ]
        if one.arm == one.beside:
            continue
        intervals = {"items": one.items} | ({"seeds": one.seeds} if one.seeds else {})
        told.append(Figure(case, OURS, f"{one.arm} - {one.beside}", one.gain, "share right"))
        for over, (low, high) in intervals.items():
            told += [
                Figure(case, OURS, f"{one.arm} - {one.beside}, 95% over {over}, from", low, "share right"),
                Figure(case, OURS, f"{one.arm} - {one.beside}, 95% over {over}, to", high, "share right"),
            ]
    return told


def show(found: Sequence[Compared], seeds: int) -> None:
    """The whole as one table."""
    table = Table("setting", box=None, header_style="dim")
    for name in ("right", "beside plain", "95% over items", f"95% over {seeds} seeds", "steps"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        plain = one.arm == one.beside
        table.add_row(
            one.arm,
            f"{one.right:.3f}",
            "" if plain else f"{one.gain:+.3f}",
            "" if plain else _interval(one.items),
            "" if plain else _interval(one.seeds),
            f"{one.steps:.0f}",
        )
    Console().print(table)


def _interval(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"


if __name__ == "__main__":
    main()
