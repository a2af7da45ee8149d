"""Whether the kept lie where the reference lies: principal components of the embeddings, and a distance in them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ...settings import Setting
from .findings import Finding, unknown

Array = NDArray[np.float64]
BLOCK = 1 << 22  # numbers of a block of permutations: 32 MB


class Components(NamedTuple):
    """Principal components: `mean` (d,), `axes` (k, d) of unit length, `shares` (k,) of the variance."""

    mean: Array
    axes: Array
    shares: Array

    def project(self, rows: ArrayLike) -> Array:
        """Coordinates (n, k) of rows (n, d)."""
        projected: Array = (np.asarray(rows, dtype=np.float64) - self.mean) @ self.axes.T
        return projected


def principal_components(rows: ArrayLike, most: int) -> Components:
    """The first `most` principal components of rows (n, d), or fewer where there are none; signs are fixed."""
    values = np.asarray(rows, dtype=np.float64)
    mean = values.mean(axis=0)
    _, lengths, axes = np.linalg.svd(values - mean, full_matrices=False)
    count = min(most, int((lengths > 1e-9 * max(1e-300, lengths[0])).sum()))
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    total = float((lengths**2).sum()) or 1.0
    return Components(mean, (axes * signs[:, None])[:count], (lengths**2 / total)[:count])


class Distance(NamedTuple):
    """The energy coefficient of inhomogeneity without its bias, and the p-value of "both are drawn alike"."""

    value: float
    p_value: float


def energy_distance(one: ArrayLike, other: ArrayLike, permutations: int, seed: int) -> Distance:
    """How far two sets of points (n, k) and (m, k) lie apart: (2 E|X−Y| − E|X−X'| − E|Y−Y'|) / 2 E|X−Y|.

    0 where both are drawn alike, 1 where each set is one point (Székely & Rizzo 2013). Means are over different rows,
    so that the value is about 0 under no change, and may fall below. The p-value is that of `permutations`
    relabellings, exact at any size (Phipson & Smyth 2010). Raises ValueError for a set of fewer than two points.
    """
    from scipy.spatial.distance import cdist

    first = np.asarray(one, dtype=np.float64)
    points = np.concatenate([first, np.asarray(other, dtype=np.float64)])
    n, m = len(first), len(points) - len(first)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} points: two of each are needed")
    apart = cdist(points, points)
    found, between = _energies(apart, (np.arange(n + m) < n)[:, None].astype(np.float64))
    rng, beyond, left = np.random.default_rng(seed), 0, permutations
    while left:
        block = min(left, max(1, BLOCK // (n + m)))
        order = rng.random((n + m, block)).argsort(axis=0)
        energies, _ = _energies(apart, (order < n).astype(np.float64))
        beyond += int((energies >= found[0] - 1e-12).sum())
        left -= block
    value = float(found[0] / between[0]) if between[0] > 0 else 0.0
    return Distance(value, (1 + beyond) / (1 + permutations))


def _energies(apart: Array, first: Array) -> tuple[Array, Array]:
    """Energies and 2 E|X−Y| for each column of `first` (n + m, columns), which is 1 for the rows of the first set."""
    n = first[:, 0].sum()
    m = len(first) - n
    inside = (first * (apart @ first)).sum(axis=0)  # of both orders of each pair
    across = apart.sum(axis=1) @ first - inside
    outside = apart.sum() - inside - 2 * across
    between = 2 * across / (n * m)
    return between - inside / (n * (n - 1)) - outside / (m * (m - 1)), between


class DistanceCheck(Setting):
    """Energy distance of the embeddings in the principal components of both sets together.

    Not of the reference alone: components that are fitted to one set hold more of that set's spread than of any
    other's, and the permutations would take that for a difference.
    """

    limit: float = Field(0.15, gt=0, le=1, description="largest distance, from 0 (drawn alike) to 1 (nothing shared)")
    components: int = Field(20, ge=2, le=1000, description="principal components that are looked at")
    permutations: int = Field(999, ge=99, le=100_000, description="relabellings behind the p-value")

    def __call__(
        self, kept: ArrayLike, reference: ArrayLike, alpha: float, min_rows: int, seed: int
    ) -> tuple[Finding, Components | None]:
        """The finding, and the components that it was made in; embeddings are (n, d) and (m, d)."""
        ours, theirs = np.asarray(kept, dtype=np.float64), np.asarray(reference, dtype=np.float64)
        if min(len(ours), len(theirs)) < max(2, min_rows):
            why = f"{len(ours):,} kept and {len(theirs):,} reference rows; {min_rows} of each are needed"
            return unknown("distance", "embeddings", why), None
        components = principal_components(np.concatenate([theirs, ours]), self.components)
        sides = components.project(theirs), components.project(ours)
        found = energy_distance(*sides, permutations=self.permutations, seed=seed)
        return Finding(
            check="distance",
            of="embeddings",
            value=found.value,
            threshold=self.limit,
            p_value=found.p_value,
            outcome="warn" if found.p_value < alpha and found.value > self.limit else "fine",
            said=f"{len(components.axes)} components hold {components.shares.sum():.0%} of the variance",
        ), components
