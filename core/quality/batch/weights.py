"""Weights that make up for an uneven batch: by class, and by how likely a row is in the reference."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ...errors import ConfigError
from ...settings import Setting

Array = NDArray[np.float64]

FOLDS = 5
COMPONENTS = 50


def fitted(weights: ArrayLike, largest: float) -> Array:
    """`weights` (n,) > 0 scaled so that, clipped to [1/largest, largest], their mean is 1."""
    given = np.asarray(weights, dtype=np.float64)
    if not len(given):
        return given
    low, high = np.log(1 / largest / given.max()), np.log(largest / given.min())  # all at the bottom, all at the top
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(given * np.exp(middle), 1 / largest, largest).mean() < 1:
            low = middle
        else:
            high = middle
    clipped = np.clip(given * np.exp(high), 1 / largest, largest)
    fit: Array = clipped / clipped.mean()  # what is left of rounding
    return fit


def effective_rows(weights: ArrayLike) -> float:
    """How many rows of equal weight tell as much: (Σw)² / Σw² (Kish 1965)."""
    given = np.asarray(weights, dtype=np.float64)
    return float(given.sum() ** 2 / (given**2).sum()) if len(given) else 0.0


class ClassWeights(Setting):
    """Rows of rare labels or categories count more."""

    method: Literal["inverse", "effective"] = Field(
        "inverse",
        description="`inverse` to the rows of the class, or to the `effective` number of them (Cui et al. 2019)",
    )
    beta: float = Field(
        0.99, gt=0, lt=1, description="of `effective`: (1 − β) / (1 − β^n); 0 is no weighting, 1 inverse"
    )
    largest: float = Field(5.0, gt=1, le=100, description="largest weight, and the smallest is its inverse")

    def __call__(self, categories: Sequence[str]) -> Array:
        """A weight for each row, (n,), of mean 1; rows without a category count as one of their own."""
        counts = Counter(categories)
        return fitted([self._weight(counts[category]) for category in categories], self.largest)

    def _weight(self, count: int) -> float:
        """Inverse to n, or to (1 − βⁿ) / (1 − β), the volume that n rows cover (Cui et al. 2019, eq. 5)."""
        if self.method == "inverse":
            return 1 / count
        return float((1 - self.beta) / (1 - self.beta**count))


class ImportanceWeights(Setting):
    """Rows as they come in the reference count more: the density ratio, by a classifier that tells the two apart.

    p(x | reference) / p(x | kept) is P(reference | x) / P(kept | x) but for a constant (Bickel et al. 2009; Sugiyama
    et al. 2012). Each row's is told by a logistic regression that has not seen the row, or it would know the
    rows by heart where there are fewer of them than dimensions.
    """

    largest: float = Field(5.0, gt=1, le=100, description="largest weight, and the smallest is its inverse")
    regularisation: float = Field(
        1.0, gt=0, description="C of the logistic regression; smaller brings weights nearer 1"
    )

    def __call__(self, kept: ArrayLike, reference: ArrayLike, seed: int) -> Array:
        """A weight for each kept row, (n,), of mean 1; embeddings are (n, d) and (m, d).

        Raises ConfigError for sets that are too small to be told apart.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from .distance import principal_components

        ours, theirs = np.asarray(kept, dtype=np.float64), np.asarray(reference, dtype=np.float64)
        if min(len(ours), len(theirs)) < 2 * FOLDS:
            raise ConfigError(
                f"`batch.importance_weights` needs {2 * FOLDS} kept and reference rows, and there are {len(ours)} and "
                f"{len(theirs)}; leave it out, or add rows"
            )
        both = np.concatenate([theirs, ours])
        features = principal_components(both, COMPONENTS).project(both)
        is_reference = (np.arange(len(both)) < len(theirs)).astype(int)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=self.regularisation, max_iter=1000))
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        odds = cross_val_predict(model, features, is_reference, cv=folds, method="decision_function")
        return fitted(np.exp(np.clip(odds[len(theirs) :], -50, 50)), self.largest)
