"""Near-duplicate texts, in time that grows with the rows: shingles, MinHash, bands, exact check, clusters.

After Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", chapter 3. A text costs 8 bytes a distinct shingle
and 4 bytes a band (about 23 and 41 for 25 words at 0.6 and 256 permutations: 0.35 kB); its signature is not kept.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .shingles import Ints, Shingles, mixed, shingles

Keys = NDArray[np.uint32]

SEED = 42
MISS_WEIGHT = 0.95  # a false candidate costs one exact check; a missed pair stays in the data
PAIRS_PER_ROW = 8  # candidates in a band, on average, so that a huge bucket does not become quadratic
PLACES_AT_ONCE = 1 << 19  # of signatures that exist together
HALF = np.uint64(32)

Heard = Callable[[int, int], object]


def unheard(done: int, total: int) -> None:
    """Hears how far a comparison is, and says nothing."""


def signatures(sets: Shingles, permutations: int) -> NDArray[np.uint32]:
    """MinHash signatures (sets, permutations); the share of places where two agree estimates their Jaccard similarity.

    R-MinHash of rensa, which fills the places bucket by bucket (Dahlgaard, Knudsen & Thorup 2017, "Fast Similarity
    Sketching"); its standard error stays below √(J(1 − J) / permutations), that of Broder (1997).
    """
    from rensa import RMinHash

    starts = sets.starts.astype(np.uint64)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(sets.hashes, starts, permutations, SEED).to_rows()
    pack = Struct(f"={permutations}I").pack  # a third of the time that numpy takes for lists of numbers
    values = np.frombuffer(b"".join([pack(*row) for row in rows]), dtype=np.uint32)
    return values.reshape(len(sets), permutations)


@lru_cache
def bands_for(threshold: float, permutations: int, miss_weight: float = MISS_WEIGHT) -> tuple[int, int]:
    """How many bands of how many rows: bands · rows ≤ permutations.

    A pair of similarity s shares a band with probability 1 − (1 − s^rows)^bands (Mining of Massive Datasets, 3.4.2).
    Chosen is what minimises the area of that curve below `threshold` and the area above it that is missed, weighted
    1 − `miss_weight` and `miss_weight`, as datasketch's MinHashLSH does (there 0.5 each).
    """
    middles = (np.arange(256) + 0.5) / 256
    below, above = threshold * middles, threshold + (1 - threshold) * middles
    best = (np.inf, 1, 1)
    for rows in range(1, permutations + 1):
        bands = np.arange(1, permutations // rows + 1)[:, None]
        false = (1 - (1 - below**rows) ** bands).mean(axis=1) * threshold
        missed = ((1 - above**rows) ** bands).mean(axis=1) * (1 - threshold)
        cost = (1 - miss_weight) * false + miss_weight * missed
        best = min(best, (float(cost.min()), int(cost.argmin()) + 1, rows))
    return best[1:]


@dataclass(frozen=True)
class Sketch:
    """What is kept of a batch of texts: their shingle sets and band keys (bands, texts)."""

    sets: Shingles
    keys: Keys

    @classmethod
    def of(cls, texts: Sequence[str], threshold: float, permutations: int) -> Self:
        sets = shingles(texts)
        return cls(sets, _band_keys(sets, *bands_for(threshold, permutations)))

    def take(self, rows: Ints) -> Self:
        """Only `rows`, in their order."""
        return type(self)(self.sets.take(rows), self.keys[:, rows])


class Sketches:
    """Texts, sketched in batches, as distinct shingle sets: `set_of` (texts,) gives the one of each text.

    Sets are in the order of a hash of their content: what is found among them does not depend on the order of texts.
    """

    def __init__(self, batches: Sequence[Sketch], threshold: float) -> None:
        self._texts = Shingles.joined([batch.sets for batch in batches])
        self._batches = batches
        self._threshold = threshold
        # the text that stands for each set
        _, self._text_of, self.set_of = np.unique(self._texts.prints(), return_index=True, return_inverse=True)

    @classmethod
    def of(cls, texts: Sequence[str], threshold: float, permutations: int) -> Self:
        return cls([Sketch.of(texts, threshold, permutations)], threshold)

    def near(self, sets: Ints, known: Ints) -> NDArray[np.bool_]:
        """Whether each of `sets` (n,) is within the threshold of one of `known`. Returns (n,)."""
        found = np.zeros(len(self._text_of), dtype=bool)
        found[known] = True
        sought, known = np.unique(sets), np.unique(known)
        for key, next_key in self._bands() if len(known) else ():
            sought = sought[~found[sought]]
            order = known[_by_buckets(key[known], next_key[known])]
            first = np.searchsorted(key[order], key[sought])
            for rows, places in _side_by_side(key[sought], first, key[order]):
                still = ~found[sought[rows]]
                left, right = sought[rows[still]], order[places[still]]
                found[left[self._alike(left, right)]] = True
        return found[sets]

    def clusters(self, sets: Ints, heard: Heard = unheard) -> Ints:
        """A number for each of `sets` (n,), equal for those that a chain of pairs within the threshold connects.

        `heard` is told after each band how many are done, of how many.
        """
        roots, sought = np.arange(len(self._text_of)), np.unique(sets)
        for done, (key, next_key) in enumerate(self._bands()):
            heard(done, self._band_count)
            order = sought[_by_buckets(key[sought], next_key[sought])]
            order = order[_crowded(key[order])]
            for rows, places in _side_by_side(key[order], np.arange(1, len(order) + 1), key[order]):
                apart = roots[order[rows]] != roots[order[places]]
                left, right = order[rows[apart]], order[places[apart]]
                alike = self._alike(left, right)
                roots = _united(roots, left[alike], right[alike])
        return roots[sets]

    def _alike(self, left: Ints, right: Ints) -> NDArray[np.bool_]:
        alike: NDArray[np.bool_] = self._texts.jaccard(self._text_of[left], self._text_of[right]) >= self._threshold
        return alike

    @property
    def _band_count(self) -> int:
        return len(self._batches[0].keys) if self._batches else 0

    def _bands(self) -> Iterator[tuple[Keys, Keys]]:
        """Each band's keys of the sets, and those of the band before it; put together when they are needed."""
        before = self._band(-1) if self._band_count else np.zeros(0, dtype=np.uint32)
        for band in range(self._band_count):
            keys = self._band(band)
            yield keys, before
            before = keys

    def _band(self, band: int) -> Keys:
        return np.concatenate([batch.keys[band] for batch in self._batches])[self._text_of]


def cluster(texts: Sequence[str], threshold: float = 0.6, permutations: int = 256) -> Ints:
    """The cluster of each text (n,), named by its lowest row; single linkage over exact Jaccard ≥ `threshold`.

    Pairs are proposed by bands, so that few just above the threshold are missed; none below it is taken.
    """
    sketches = Sketches.of(texts, threshold, permutations)
    found = sketches.clusters(sketches.set_of)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return first[inverse]


def _band_keys(sets: Shingles, bands: int, rows: int) -> Keys:
    """A hash of each set's rows of each band: (bands, sets).

    Of 32 bits, since pairs that it proposes are checked: in a million sets some 100 a band share one by chance.
    """
    weights = mixed(np.arange(rows, dtype=np.uint64)) | np.uint64(1)
    keys = np.empty((bands, len(sets)), dtype=np.uint32)
    step = max(1, PLACES_AT_ONCE // (bands * rows))
    for start in range(0, len(sets), step):
        part = np.arange(start, min(start + step, len(sets)))
        found = signatures(sets.take(part), bands * rows).reshape(len(part), bands, rows)
        keys[:, part] = ((found.astype(np.uint64) @ weights) >> HALF).T
    return keys


def _by_buckets(keys: Keys, next_keys: Keys) -> Ints:
    """The order in which equal `keys` stand together, and in such a bucket the most alike side by side."""
    return np.argsort((keys.astype(np.uint64) << HALF) | next_keys)


def _crowded(keys: Keys) -> NDArray[np.bool_]:
    """Which of `keys` (n,), in order, are not alone in their bucket."""
    again = keys[1:] == keys[:-1]
    crowded = np.zeros(len(keys), dtype=bool)
    crowded[1:] |= again
    crowded[:-1] |= again
    return crowded


def _side_by_side(own: Keys, first: Ints, keys: Keys) -> Iterator[tuple[Ints, Ints]]:
    """Rows of `own` with places in `keys` (ascending) that equal them, from place `first` on, one place at a time.

    Stops where the rows have had PAIRS_PER_ROW on average: the last ones of a huge bucket are not looked at.
    """
    rows, places, left = np.arange(len(own)), first, PAIRS_PER_ROW * len(own)
    while len(rows) and left > 0:
        rows, places = rows[places < len(keys)], places[places < len(keys)]
        same = keys[places] == own[rows]
        rows, places = rows[same], places[same]
        left -= len(rows)
        yield rows, places
        places = places + 1


def _united(roots: Ints, left: Ints, right: Ints) -> Ints:
    """Union-find over arrays: `roots` (each set's lowest relative) after joining the pairs `left`, `right`."""
    if not len(left):
        return roots
    roots = roots.copy()
    while (apart := roots[left] != roots[right]).any():
        ends = np.stack([roots[left[apart]], roots[right[apart]]])
        np.minimum.at(roots, ends.max(axis=0), ends.min(axis=0))
        while ((above := roots[roots]) != roots).any():
            roots = above
    return roots
