"""The ledger as suites: its active items, asked and scored as the suites that they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..artifacts import Artifact, ArtifactStore
from ..digests import canonical_json, digest_of
from ..evaluation.suites import Suite, SuiteSettings
from .entries import Entry, Held

NAME = "ledger"
MARGIN = 0.5  # a guard must have one; the ledger is judged by its own rule (`judging.py`)


def ledger_suites(held: Sequence[Held], path: Path) -> dict[str, Suite]:
    """One suite for each way in which active items are asked and scored: `ledger`, `ledger-2` …; none of an empty one.

    A suite has one scorer; a loop with several kinds of suite has corrections of several kinds. The digest of each is
    that of its items.
    """
    ways: dict[str, list[Entry]] = {}
    for one in held:
        if one.active:
            ways.setdefault(canonical_json(_way(one.entry)), []).append(one.entry)
    parts = [ways[way] for way in sorted(ways)]
    return {name: _suite(name, entries, path) for name, entries in zip(_names(len(parts)), parts, strict=True)}


def is_ledger(name: str) -> bool:
    """Whether a suite of this name is a part of the ledger; no suite of the user's may be called so."""
    return name == NAME or name.startswith(f"{NAME}-")


def scores_by_item(
    suites: Mapping[str, Suite], scores: Mapping[str, Mapping[str, Sequence[float | None]]]
) -> dict[str, dict[str, float | None]]:
    """Model → item → score, over the parts of the ledger; `scores` are by part and model, in the order of its items."""
    found: dict[str, dict[str, float | None]] = {}
    for name, by_model in scores.items():
        for model, values in by_model.items():
            ids = (item.id for item in suites[name].items)
            found.setdefault(model, {}).update(zip(ids, values, strict=True))
    return found


def write_snapshot(store: ArtifactStore, held: Sequence[Held]) -> Artifact | None:
    """The ledger at one time, for the steps of a round; None of an empty one."""
    return store.write_json([one.model_dump(mode="json") for one in held]) if held else None


def read_snapshot(store: ArtifactStore, snapshot: Artifact | None) -> list[Held]:
    """What `write_snapshot` wrote."""
    return [Held.model_validate(one) for one in store.read_json(snapshot)] if snapshot else []


def _way(entry: Entry) -> list[Any]:
    return [entry.scorer.model_dump(mode="json"), entry.prompt, entry.max_tokens]


def _names(parts: int) -> list[str]:
    return [NAME if number == 1 else f"{NAME}-{number}" for number in range(1, parts + 1)]


def _suite(name: str, entries: Sequence[Entry], path: Path) -> Suite:
    first, items = entries[0], tuple(entry.item for entry in entries)
    settings = SuiteSettings(
        role="guard",
        path=str(path),
        scorer=first.scorer,
        prompt=first.prompt,
        max_tokens=first.max_tokens,
        margin=MARGIN,
    )
    digest = digest_of([[item.model_dump(mode="json") for item in items], first.scorer.version, _way(first)])
    return Suite(name, settings, path, items, tuple(range(1, len(items) + 1)), digest)
