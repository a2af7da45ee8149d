"""A classifier from a few labelled texts: the nearest mean of embeddings, as probabilities that are calibrated.

The mean of a label's unit vectors, made a unit vector again, is its prototype; a text has the probabilities
softmax(cosine / temperature) (Snell et al. 2017, "Prototypical networks for few-shot learning", with cosines). The
temperature is the one under which labelled rows, each left out of its own label's mean, are likeliest (Guo et al.
2017, "On calibration of modern neural networks").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Array = NDArray[np.float64]

FEWEST = 10  # rows from which a share is told
COLDEST, WARMEST = 0.005, 1.0  # cosines lie within [-1, 1]: colder is certain of all, warmer of nothing


class Precision(NamedTuple):
    """How many of the rows that are left out and lie above a threshold get their own label."""

    rows: int  # above the threshold
    of: int  # that were left out
    right: int
    interval: tuple[float, float] | None  # Wilson's, 95%; None where the rows are too few to tell


@dataclass(frozen=True)
class NearestMean:
    """Prototypes of labels, and what leaving rows out told about them."""

    labels: tuple[str, ...]
    means: Array  # (labels, d), unit rows
    temperature: float | None  # None where no row could be left out
    left_out: Array  # (rows, labels): cosines of rows to means without them
    own: NDArray[np.intp]  # (rows,): the label that each has

    def probabilities(self, vectors: NDArray[np.float32]) -> Array:
        """(n, labels), rows that add up to 1, for unit `vectors` (n, d).

        Where no temperature could be fitted, that of COLDEST and WARMEST's geometric mean stands in: it orders texts,
        and says nothing about how likely a label is.
        """
        return _softmax(vectors.astype(np.float64) @ self.means.T, self.temperature or (COLDEST * WARMEST) ** 0.5)

    def precision(self, threshold: float) -> Precision:
        """What to expect of labels whose probability is at least `threshold`, from the rows that were left out."""
        from ..evaluation.statistics import wilson_interval

        if self.temperature is None:
            return Precision(0, 0, 0, None)
        told = _softmax(self.left_out, self.temperature)
        above = told.max(axis=1) >= threshold
        rows, right = int(above.sum()), int((told.argmax(axis=1) == self.own)[above].sum())
        if rows < FEWEST:
            return Precision(rows, len(told), right, None)
        return Precision(rows, len(told), right, wilson_interval(right, rows))


def fit_nearest_mean(vectors: NDArray[np.float32], labels: Sequence[str], vouched: Sequence[bool]) -> NearestMean:
    """Fit to unit `vectors` (n, d) and the label of each.

    Only `vouched` rows, whose labels people gave, are left out in turn: labels of a teacher have passed a filter that
    looks at these very cosines, and would make it too sure. Raises DataError for fewer than two labels.
    """
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise DataError(f"a classifier needs labelled rows of two labels at least; there are {len(names)}")
    rows = vectors.astype(np.float64)
    own = np.array([names.index(label) for label in labels], dtype=np.intp)
    sums = np.stack([rows[own == place].sum(axis=0) for place in range(len(names))])
    means, counts = _unit(sums), np.bincount(own, minlength=len(names))
    out = np.flatnonzero(np.array(vouched, dtype=bool) & (counts[own] > 1))
    cosines = rows[out] @ means.T
    without = _unit(sums[own[out]] - rows[out])
    cosines[np.arange(len(out)), own[out]] = (rows[out] * without).sum(axis=1)
    return NearestMean(names, means, _temperature(cosines, own[out]), cosines, own[out])


def _temperature(cosines: Array, own: NDArray[np.intp]) -> float | None:
    """The temperature that makes `own` likeliest; None without rows.

    The target is not 1 but 1 − 1/(n + 2), the rest spread evenly (after Platt 1999): where every row is right, the
    likeliest temperature would be 0, and a handful of rows is no proof that no error is possible.
    """
    from scipy.optimize import minimize_scalar

    if not len(own):
        return None
    rows, labels = cosines.shape
    doubt = 1 / (rows + 2)
    target = np.full(cosines.shape, doubt / (labels - 1))
    target[np.arange(rows), own] = 1 - doubt

    def loss(log_temperature: float) -> float:
        likelihood: float = (target * _log_softmax(cosines, float(np.exp(log_temperature)))).sum()
        return -float(likelihood) / float(rows)

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(WARMEST)), method="bounded")
    return float(np.exp(found.x))


def _log_softmax(cosines: Array, temperature: float) -> Array:
    logits = cosines / temperature
    logits = logits - logits.max(axis=1, keepdims=True)
    told: Array = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return told


def _softmax(cosines: Array, temperature: float) -> Array:
    told: Array = np.exp(_log_softmax(cosines, temperature))
    return told


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Array = rows / np.where(lengths == 0, 1.0, lengths)
    return unit
