"""Which vectors lie within a cosine of each other: every pair is compared, block by block.

No index. Comparing n rows of 384 dimensions takes some n² · 384 operations, encoding them n times a forward pass of
the encoder; on one core 20,000 rows compare in 10 s and take 25 min to encode, so that up to millions of rows the
encoder is what takes the time, and an approximate index would miss pairs to save a small part of it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .shingles import Ints
from .sketches import Heard, unheard, united

Halves = NDArray[np.float16]
Cosines = NDArray[np.float32]

BLOCK = 1024  # rows that are compared with as many others at once: 4 MB of cosines


def nearest(rows: Halves, known: Halves) -> tuple[Cosines, Ints]:
    """Of each of `rows` (n, d) the largest cosine to one of `known` (m, d), and which it is; −1 of none (n,)."""
    best = np.full(len(rows), -np.inf, dtype=np.float32)
    which = np.full(len(rows), -1, dtype=np.int64)
    for start, block in _blocks(rows):
        own = slice(start, start + len(block))
        for first, other in _blocks(known):
            cosines = block @ other.T
            place = cosines.argmax(axis=1)
            largest = cosines[np.arange(len(block)), place]
            nearer = largest > best[own]
            best[own][nearer], which[own][nearer] = largest[nearer], first + place[nearer]
    return best, which


def clusters(rows: Halves, threshold: float, heard: Heard = unheard) -> Ints:
    """The cluster of each of `rows` (n, d), named by its lowest row: single linkage over cosine ≥ `threshold`.

    Exact: each pair is compared, of rows that are the same to the last bit one. Which blocks they lie in, and so the
    last digits of a cosine, depends on all rows together, not on the batches that they came in.
    """
    distinct, row_of = _distinct(rows)
    roots = np.arange(len(distinct))
    total = -(-len(distinct) // BLOCK)
    for done, (start, block) in enumerate(_blocks(distinct)):
        heard(done, total)
        for first, other in _blocks(distinct[start:]):
            left, right = np.nonzero(block @ other.T >= threshold)
            left, right = left + start, right + start + first
            apart = roots[left] != roots[right]
            roots = united(roots, left[apart], right[apart])
    _, lowest, inverse = np.unique(roots[row_of], return_index=True, return_inverse=True)
    named: Ints = lowest[inverse]
    return named


def cosines_of(left: Halves, right: Halves) -> NDArray[np.float64]:
    """The cosine of each pair of rows (n, d), (n, d)."""
    found: NDArray[np.float64] = np.einsum("nd,nd->n", left.astype(np.float64), right.astype(np.float64))
    return found


def _blocks(rows: Halves) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(rows), BLOCK):
        yield start, rows[start : start + BLOCK].astype(np.float32)


def _distinct(rows: Halves) -> tuple[Halves, Ints]:
    """The rows that differ, in the order of their first coming, and which of them each row is.

    Two rows of zeros, of texts without a token, have cosine 0 and are not alike: each stays its own.
    """
    first: dict[bytes, int] = {}
    places: list[int] = []
    own = np.empty(len(rows), dtype=np.int64)
    for place, row in enumerate(rows):
        key = row.tobytes() if row.any() else place.to_bytes(8, "little")
        if key not in first:
            first[key] = len(places)
            places.append(place)
        own[place] = first[key]
    return rows[places], own
