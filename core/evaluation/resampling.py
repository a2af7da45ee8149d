"""Chance, drawn again and again: sign flips of differences, and means of groups drawn with replacement.

Many items often hold few different differences: two 0/1 scores differ by −1, 0 or 1. How often each is drawn is then a
binomial or multinomial number, which gives the same distribution as drawing item by item in a fraction of the time.
Where the differences are many, eight signs are one random byte that looks up their sum, and items are drawn in blocks.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BLOCK = 1 << 20  # numbers drawn at a time: 8 MB
FEW = 16  # items for each different one from which on counts are drawn instead of items


def sign_flip_p(differences: ArrayLike, seed: int, resamples: int = 10_000) -> float:
    """p-value of "the differences are symmetric about 0" against "they lean upwards".

    p = (1 + #{Σ ±d ≥ Σ d}) / (1 + resamples), over random signs: the observed order counts as one of them, which
    keeps the test valid (Phipson & Smyth 2010), and p is never below 1 / (1 + resamples).
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[d != 0]
    if d.size == 0:
        return 1.0
    # sums that are equal on paper differ in the last bits
    observed = d.sum() - 1e-9 * np.abs(d).sum()
    random = np.random.default_rng(seed)
    sizes, counts = np.unique(np.abs(d), return_counts=True)
    flipped = _counted_flips if sizes.size * FEW <= d.size else _looked_up_flips
    reached = sum(int(np.count_nonzero(sums >= observed)) for sums in flipped(sizes, counts, random, resamples))
    return (1 + reached) / (1 + resamples)


def _counted_flips(sizes: Array, counts: NDArray[np.int64], random: np.random.Generator, rows: int) -> Iterator[Array]:
    """Sums under random signs: of c differences of one size s, X ~ Binomial(c, 1/2) are up: s (2X − c)."""
    for height in _blocks(rows, sizes.size):
        yield (2 * random.binomial(counts, 0.5, size=(height, sizes.size)) - counts) @ sizes


def _looked_up_flips(
    sizes: Array, counts: NDArray[np.int64], random: np.random.Generator, rows: int
) -> Iterator[Array]:
    """Sums under random signs: each eight differences have a table of their 256 sums, and one random byte."""
    d = np.repeat(sizes, counts)
    eights = np.concatenate([d, np.zeros(-d.size % 8)]).reshape(-1, 8)
    signs = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    table = (eights @ signs.T).ravel()
    start = 256 * np.arange(len(eights), dtype=np.int64)
    for height in _blocks(rows, len(eights)):
        drawn = random.integers(0, 256, size=(height, len(eights)), dtype=np.uint8)
        yield table.take(drawn + start).sum(axis=1)


def cluster_bootstrap_interval(
    differences: ArrayLike, groups: Sequence[str], seed: int, resamples: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean difference when whole groups are drawn again (Davison & Hinkley 1997, 3.8).

    `differences` (n,), `groups` (n,) names the source of each item. Items of one source rise and fall together;
    an interval over items alone would be too narrow.
    """
    means = cluster_bootstrap_means(differences, groups, seed, resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def cluster_bootstrap_means(differences: ArrayLike, groups: Sequence[str], seed: int, resamples: int = 10_000) -> Array:
    """Means (resamples,) of the items of as many groups as there are, drawn with replacement."""
    sums, sizes = group_sums(differences, groups)
    random = np.random.default_rng(seed)
    kinds, counts = np.unique(np.stack([sums, sizes]), axis=1, return_counts=True)
    if counts.size * FEW <= sums.size:
        drawn = [
            random.multinomial(sums.size, counts / sums.size, size=height) @ kinds.T
            for height in _blocks(resamples, counts.size)
        ]
        totals = np.concatenate(drawn)
        return np.asarray(totals[:, 0] / totals[:, 1])
    return np.concatenate([_drawn_means(sums, sizes, random, height) for height in _blocks(resamples, sums.size)])


def _drawn_means(sums: Array, sizes: Array, random: np.random.Generator, height: int) -> Array:
    drawn = random.integers(0, sums.size, size=(height, sums.size), dtype=np.int32)
    if (sizes == sizes[0]).all():
        return np.asarray(sums.take(drawn).sum(axis=1) / (sizes[0] * sums.size))
    both = (sums + 1j * sizes).take(drawn).sum(axis=1)  # one look-up for the two of them
    return np.asarray(both.real / both.imag)


def group_sums(differences: ArrayLike, groups: Sequence[str]) -> tuple[Array, Array]:
    """Sum of the differences and number of items of each group, two arrays (groups,)."""
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size == 0 or d.size != len(groups):
        raise ValueError(f"{d.shape} differences do not pair with {len(groups)} groups")
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sums: Array = np.bincount(index, weights=d).astype(np.float64)
    sizes: Array = np.bincount(index).astype(np.float64)
    return sums, sizes


def _blocks(rows: int, width: int) -> Iterator[int]:
    """Split `rows` so that no block of them holds more than about BLOCK numbers."""
    height = max(1, BLOCK // width)
    for start in range(0, rows, height):
        yield min(height, rows - start)
