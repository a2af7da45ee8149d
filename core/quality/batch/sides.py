"""One of the two sets that are compared, as the checks look at it: numbers, categories, and some of its texts."""

import math
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...samples import Sample
from ...text import words
from ..filters import label_margins

Numbers = NDArray[np.float64]
Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

MARGIN = "label_margin"
NAMES = ("category", "passage")
"""Controls that name something, whatever they look like."""


class Side:
    """Numbers and categories of every row, and texts of at most `most` rows, drawn evenly by `seed`.

    So memory holds a few numbers a row, and no text beyond `most`; the draw is a reservoir (Vitter 1985, algorithm R).
    """

    def __init__(self, most: int | None, seed: int) -> None:
        self.rows = 0
        self.categories: Counter[str] = Counter()
        """Rows by label, or by category where there is none; rows with neither are not in it."""
        self.labelled = False
        self.texts: list[str] = []
        self.text_categories: list[str] = []
        self._most = most
        self._draw = random.Random(seed)
        self._numbers: dict[str, array[float]] = {}

    @classmethod
    def of(cls, samples: Iterable[Sample], most: int | None = None, seed: int = 0) -> Self:
        """The side that these samples are."""
        side = cls(most, seed)
        side.add(samples)
        return side

    def add(self, samples: Iterable[Sample]) -> None:
        """Take in more rows."""
        for sample in samples:
            category = category_of(sample)
            self.labelled |= sample.label is not None
            if category:
                self.categories[category] += 1
            for name, value in numbers_of(sample).items():
                column = self._numbers.setdefault(name, array("d"))
                column.extend([math.nan] * (self.rows - len(column)))
                column.append(value)
            self._keep(sample.prompt, category)
            self.rows += 1

    def add_feature(self, name: str, values: ArrayLike) -> None:
        """Add a number that was measured on `texts`, one value each; to be done when all rows are in."""
        self._numbers[name] = array("d", np.asarray(values, dtype=np.float64).tolist())

    def _keep(self, text: str, category: str) -> None:
        if self._most is None or self.rows < self._most:
            self.texts.append(text)
            self.text_categories.append(category)
        elif (place := self._draw.randrange(self.rows + 1)) < self._most:
            self.texts[place], self.text_categories[place] = text, category

    @property
    def numbers(self) -> dict[str, Numbers]:
        """The known values of each feature, in the order of the rows that have one."""
        found = {name: np.asarray(column, dtype=np.float64) for name, column in self._numbers.items()}
        return {name: values[~np.isnan(values)] for name, values in found.items()}


def category_of(sample: Sample) -> str:
    """The label, else the category that it was written for; empty where there is neither."""
    return sample.label or sample.controls.get("category", "")


def numbers_of(sample: Sample) -> dict[str, float]:
    """Every number that a sample has: lengths, scores, and controls that are numbers."""
    prompt = sample.prompt
    found = {
        "words": float(len(words(prompt))),
        "characters": float(len(prompt)),
        "turns": float(sum(turn.role in ("user", "assistant") for turn in sample.messages)),
    }
    if sample.label is None and sample.completion:  # a label's length only says which label it is
        found["answer words"] = float(len(words(sample.completion)))
    told = {name: _finite(value) for name, value in sample.controls.items() if name not in NAMES}
    known = {name: number for name, number in told.items() if number is not None}
    return found | {name: number for name, number in (known | sample.scores).items() if name not in found}


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def with_margins(samples: Sequence[Sample], embed: Embed) -> list[Sample]:
    """`samples` with the score `label_margin` that each would have if it were no seed itself.

    Its own label's centroid is taken without it, or it would lie nearer to that than any new text can. A label with
    fewer than two samples gives none. Samples that have the score already keep theirs.
    """
    labels = sorted({sample.label for sample in samples if sample.label})
    if len(labels) < 2:
        return list(samples)
    told = [row for row, sample in enumerate(samples) if sample.label]
    rows = np.asarray(embed([samples[row].prompt for row in told]), dtype=np.float64)
    own = np.array([labels.index(samples[row].label or "") for row in told])
    sums = np.stack([rows[own == index].sum(axis=0) for index in range(len(labels))])
    cosines = rows @ _unit(sums).T
    cosines[np.arange(len(rows)), own] = np.einsum("nd,nd->n", rows, _unit(sums[own] - rows))
    margins: Mapping[int, float] = dict(
        zip(told, map(float, label_margins(cosines.astype(np.float32), own)), strict=True)
    )
    several = {label for label, count in Counter(sample.label for sample in samples).items() if count > 1}
    return [
        sample.with_scores(**{MARGIN: margins[row]})
        if row in margins and sample.label in several and MARGIN not in sample.scores
        else sample
        for row, sample in enumerate(samples)
    ]


def _unit(rows: Numbers) -> Numbers:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Numbers = rows / np.where(lengths == 0, 1, lengths)
    return unit
