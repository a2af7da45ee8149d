"""The dataset card of an exported pool: what Hugging Face reads at its head, and what a reader wants to know."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import yaml

from ..formats import Format
from ..loops import LoopSettings
from ..report import markdown_table
from .versions import Entry, RoundFacts, View

CATEGORIES = {
    "classify": "text-classification",
    "qa": "question-answering",
    "grounded_qa": "question-answering",
    "summarize": "summarization",
}  # Hugging Face's words; every other task is text-generation
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class DataFile(NamedTuple):
    """The file that a card describes."""

    name: str
    format: Format
    digest: str


def card(settings: LoopSettings, view: View, ref: str, file: DataFile) -> str:
    """The README of the export of `view`; `ref` names the loop in commands."""
    head = yaml.safe_dump(
        _head(settings, len(view.accepted), file.name), sort_keys=False, allow_unicode=True, width=200
    )
    about = settings.description or f"Samples for the loop `{settings.name}`."
    out = f"--format {file.format} --out DIR --version {view.version}"
    origins = _counted(entry.origin for entry in view.accepted)
    return f"""---
{head}---

# {settings.name}

{about}

Instruction: {settings.task.instruction}

{len(view.accepted):,} samples of the task `{settings.task.kind}` in `{file.name}`, format `{file.format}`: \
{origins}. They are what the quality funnel kept in rounds whose adapter was promoted, and what people vouched for, \
corrected or labelled; a label of origin `pseudo` is a classifier's. {view.marks.total():,} samples of other rounds \
and {len(view.excluded):,} that people excluded are not in it; nor is what was held out to measure on when its \
round ran.

## Categories

{markdown_table(["category", "samples", "share"], _category_rows(view.accepted))}

## Rounds

{markdown_table(["round", "seed", "verdict", "asked", "generated", "kept", "dropped"], _round_rows(view.rounds))}

## Checksums

| | |
|---|---|
| `{file.name}` (SHA-256) | `{file.digest}` |
| version of the pool | `{view.version}` |

## Made again

```
{_commands(view.rounds, ref)}
wheelwork pool export {shlex.quote(ref)} {out}
```

The same loop, models and seeds give the same samples; what people excluded or corrected is in the pool alone.
"""


def _head(settings: LoopSettings, rows: int, name: str) -> dict[str, object]:
    kind = settings.task.kind
    return {
        "license": settings.license,
        "language": [settings.language],
        "pretty_name": settings.name,
        "task_categories": [CATEGORIES.get(kind, "text-generation")],
        "size_categories": [next((size for most, size in SIZES if rows < most), "1M<n<10M")],
        "tags": ["synthetic", "wheelwork", kind],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": name}]}],
    }


def _category_rows(entries: Sequence[Entry]) -> list[list[str]]:
    counts = Counter(entry.category or "(none)" for entry in entries)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [[name, str(count), f"{count / len(entries):.0%}"] for name, count in ranked]


def _round_rows(rounds: Iterable[RoundFacts]) -> list[list[str]]:
    rows = []
    for facts in rounds:
        dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(facts.funnel["dropped"].items())) or "–"
        figures = (facts.seed, facts.verdict, facts.asked, facts.funnel["generated"], facts.funnel["kept"], dropped)
        rows.append([facts.round, *map(str, figures)])
    return rows


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count:,} by origin `{name}`" for name, count in Counter(names).most_common())


def _commands(rounds: Iterable[RoundFacts], ref: str) -> str:
    return "\n".join(
        f"wheelwork improve {shlex.quote(ref)} --samples {facts.asked} --seed {facts.seed}" for facts in rounds
    )
