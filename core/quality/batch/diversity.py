"""Whether the kept say many things or one thing many times: cosines within a label and over all."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ...settings import Setting
from .findings import Finding, unknown

LEAST = 5  # rows of a label whose mean cosine says anything


def mean_cosine(rows: ArrayLike) -> float:
    """Mean cosine over all pairs of different rows (n, d) of unit length: (|Σv|² − Σ|v|²) / n(n − 1).

    Takes time that grows with the rows, not with the pairs. Raises ValueError for fewer than two.
    """
    vectors = np.asarray(rows, dtype=np.float64)
    if len(vectors) < 2:
        raise ValueError("a mean over pairs needs two rows")
    whole = float((vectors.sum(axis=0) ** 2).sum() - (vectors**2).sum())
    return whole / (len(vectors) * (len(vectors) - 1))


class DiversityChecks(Setting):
    """Mean cosine of the embeddings, within each label or category and over all kept."""

    within: float = Field(0.6, gt=0, le=1, description="largest mean cosine within a label or category, by the worst")
    overall: float = Field(0.6, gt=0, le=1, description="largest mean cosine over all kept")

    def __call__(self, rows: ArrayLike, categories: Sequence[str], of: str, min_rows: int) -> list[Finding]:
        """Two findings; `rows` (n, d) of unit length, and the category of each, empty where there is none."""
        vectors = np.asarray(rows, dtype=np.float64)
        if len(vectors) < max(2, min_rows):
            why = f"{len(vectors):,} kept rows; {min_rows} are needed"
            return [unknown("cosine_within", of, why), unknown("cosine", "texts", why)]
        overall = mean_cosine(vectors)
        return [
            self._within(vectors, categories, of),
            _at_most("cosine", "texts", overall, self.overall, ""),
        ]

    def _within(
        self, vectors: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", categories: Sequence[str], of: str
    ) -> Finding:
        places: dict[str, list[int]] = defaultdict(list)
        for place, category in enumerate(categories):
            if category:
                places[category].append(place)
        if not places:
            return unknown("cosine_within", of, "the rows have no labels and no categories")
        means = {name: mean_cosine(vectors[rows]) for name, rows in places.items() if len(rows) >= LEAST}
        if not means:
            return unknown("cosine_within", of, f"none has {LEAST} rows")
        worst = max(means, key=means.__getitem__)
        few = len(places) - len(means)
        said = f"most alike: {worst}; on average {np.mean(list(means.values())):.2f}"
        return _at_most("cosine_within", of, means[worst], self.within, said + f"; {few} have too few rows" * bool(few))


def _at_most(check: Literal["cosine_within", "cosine"], of: str, value: float, most: float, said: str) -> Finding:
    outcome: Literal["warn", "fine"] = "warn" if value > most else "fine"
    return Finding(check=check, of=of, value=value, threshold=most, outcome=outcome, said=said)
