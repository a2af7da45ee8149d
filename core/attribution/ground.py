"""What a candidate was trained on, and how near the items of a suite lie to it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..models.encoder import Vectors
from ..quality.neighbours import Halves, nearest
from ..samples import REHEARSAL, Sample
from ..text import normalised, words
from .cases import Case

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Learnt:
    """One sample that was trained on."""

    id: str
    text: str
    answer: str
    label: str | None
    category: str


@dataclass(frozen=True)
class Ground:
    """All that was trained on, rehearsal left out; `vectors` (n, d) embed the texts, None where nobody did.

    `dropped` counts what the funnel threw away, by label or category and reason; `passages` are texts by id. Samples
    whose ids are `hidden` count, and their texts are not shown: a suite or the ledger says the same.
    """

    learnt: tuple[Learnt, ...]
    vectors: Vectors | None = None
    dropped: Mapping[str, Counter[str]] = field(default_factory=dict)
    passages: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Places of the samples of each label, or, where they have none, category."""
        found: dict[str, list[int]] = {}
        for at, one in enumerate(self.learnt):
            found.setdefault(one.label or one.category, []).append(at)
        return found

    def of_label(self, label: str) -> list[int]:
        """Places of the samples with this label or category."""
        return self.places.get(label, [])

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word that was trained on."""
        return frozenset(word for one in self.learnt for word in words(f"{one.text} {one.answer}"))

    @property
    def counts(self) -> Counter[str]:
        """Samples by label; every label of the loop is there, also with none."""
        counts = Counter[str](dict.fromkeys(self.labels, 0))
        counts.update(one.label for one in self.learnt if one.label)
        return counts

    def shown(self, places: Iterable[int]) -> list[int]:
        """Those of the samples at `places` whose texts may be shown."""
        return [at for at in places if self.learnt[at].id not in self.hidden]

    def hiding(self, texts: Iterable[str]) -> "Ground":
        """The same, with the samples hidden that say one of `texts`."""
        held_out = {normalised(text) for text in texts}
        return replace(self, hidden=frozenset(one.id for one in self.learnt if normalised(one.text) in held_out))


def learnt_of(samples: Iterable[Sample]) -> tuple[Learnt, ...]:
    """The samples that teach the task, each once."""
    found = {
        sample.id: Learnt(
            sample.id, sample.prompt, sample.completion, sample.label, sample.controls.get("category", "")
        )
        for sample in samples
        if sample.task != REHEARSAL
    }
    return tuple(found.values())


def dropped_of(samples: Iterable[Sample]) -> dict[str, Counter[str]]:
    """What the funnel threw away, by label or category and reason."""
    counts: dict[str, Counter[str]] = {}
    for sample in samples:
        name = sample.label or sample.controls.get("category", "")
        counts.setdefault(name, Counter())[sample.reject_reason or ""] += 1
    return counts


@dataclass(frozen=True)
class Nearness:
    """Cosines of items to what was trained on. `place` says which row an item has; not every item has one.

    `cosines` (m,) are those to the nearest sample, `which` (m,) that sample, `own` (m,) the cosines to the nearest
    sample of the item's own label, NaN where it has none.
    """

    place: Mapping[int, int]
    items: Halves
    cosines: Floats
    which: NDArray[np.int64]
    own: Floats

    def rows(self, items: Iterable[int]) -> list[int]:
        """The rows of those `items` that have one."""
        return [self.place[item] for item in items if item in self.place]


def nearness(cases: Sequence[Case], embedded: Sequence[int], vectors: Vectors, ground: Ground) -> Nearness | None:
    """Compare items, of which those `embedded` have rows in `vectors` (m, d), with what was trained on."""
    if ground.vectors is None or not len(ground.vectors) or not len(vectors):
        return None
    items, known = vectors.astype(np.float16), ground.vectors.astype(np.float16)
    cosines, which = nearest(items, known)
    own = np.full(len(items), np.nan)
    labels = [cases[at].label for at in embedded]
    for label in {label for label in labels if label}:
        rows, samples = [row for row, one in enumerate(labels) if one == label], ground.of_label(label)
        if samples:
            own[rows] = nearest(items[rows], known[samples])[0]
    place = {item: row for row, item in enumerate(embedded)}
    return Nearness(place, items, cosines.astype(np.float64), which, own)


def mean_direction(vectors: Vectors | Halves) -> Floats:
    """The unit vector along the mean of rows (n, d), at least one."""
    mean: Floats = vectors.astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length else mean


def strays(one: Vectors, other: Vectors) -> NDArray[np.bool_]:
    """Which rows of `one` (n, d) lie nearer to the mean of `other` (m, d) than to that of the rest of `one`.

    A row is left out of the mean that it is compared with. None stray from a label of fewer than two rows.
    """
    if len(one) < 2 or not len(other):
        return np.zeros(len(one), dtype=np.bool_)
    rows = one.astype(np.float64)
    rest = rows.sum(axis=0) - rows
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)
    nearer: NDArray[np.bool_] = np.einsum("nd,nd->n", rows, rest) < rows @ mean_direction(other)
    return nearer
