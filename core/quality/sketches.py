"""Near-duplicate texts, in time that grows with the rows: shingles, MinHash, bands, exact check, clusters.

After Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", chapter 3. A text costs 8 bytes a distinct shingle
and 8 bytes a band (about 23 and 41 for 25 words at 0.6 and 256 permutations: 0.5 kB); its signature is not kept.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..text import words

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

WIDTH = 3  # words a shingle
SEED = 42
MISS_WEIGHT = 0.95  # a false candidate costs one exact check; a missed pair stays in the data
PAIRS_PER_ROW = 8  # candidates in a band, on average, so that a huge bucket does not become quadratic
PLACES_AT_ONCE = 1 << 19  # of signatures that exist together
SHINGLES_AT_ONCE = 1 << 21  # of pairs that are checked together
PAIR_SHIFT, HASH_SHIFT = np.uint64(43), np.uint64(21)

Heard = Callable[[int, int], object]


def unheard(done: int, total: int) -> None:
    """Hears how far a comparison is, and says nothing."""


@dataclass(frozen=True)
class Shingles:
    """Sets of shingles: set i is `hashes[starts[i] : starts[i + 1]]`, ascending, never empty."""

    hashes: Hashes
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def joined(cls, parts: Sequence["Shingles"]) -> Self:
        """The sets of all `parts`, one part after another."""
        sizes = [np.zeros(1, dtype=np.int64), *(np.diff(part.starts) for part in parts)]
        hashes = [part.hashes for part in parts] or [np.zeros(0, dtype=np.uint64)]
        return cls(np.concatenate(hashes), np.cumsum(np.concatenate(sizes)))

    def take(self, sets: Ints) -> Self:
        """Only `sets`, in their order."""
        sizes = np.diff(self.starts)[sets]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        places = np.repeat(self.starts[sets] - starts[:-1], sizes) + np.arange(starts[-1])
        return type(self)(self.hashes[places], starts)

    def prints(self) -> Hashes:
        """A hash of each set's content (sets,): equal sets, in whatever text, have equal ones."""
        return np.add.reduceat(self.hashes, self.starts[:-1]) if len(self) else np.zeros(0, dtype=np.uint64)

    def jaccard(self, left: Ints, right: Ints) -> NDArray[np.float64]:
        """Jaccard similarity of each pair of sets (pairs,), in [0, 1]; exact but for hashes that collide."""
        sizes = np.cumsum(np.diff(self.starts)[left] + np.diff(self.starts)[right])
        cuts = np.searchsorted(sizes, np.arange(SHINGLES_AT_ONCE, sizes[-1] if len(sizes) else 0, SHINGLES_AT_ONCE))
        parts = zip(np.split(left, cuts), np.split(right, cuts), strict=True)
        return np.concatenate([self._jaccard(*part) for part in parts])

    def _jaccard(self, left: Ints, right: Ints) -> NDArray[np.float64]:
        # pair and shingle in one number, which sorts fast: 21 bits for at most SHINGLES_AT_ONCE pairs, 43 of the hash;
        # two sets of 25 then seem to share one shingle too many in one of 10^10 pairs
        both = self.take(np.concatenate([left, right]))
        sizes = np.diff(both.starts)
        pair = np.repeat(np.tile(np.arange(len(left), dtype=np.uint64), 2), sizes)
        keys = np.sort((pair << PAIR_SHIFT) | (both.hashes >> HASH_SHIFT))
        twice = keys[1:][keys[1:] == keys[:-1]] >> PAIR_SHIFT
        shared = np.bincount(twice.astype(np.int64), minlength=len(left))
        similarity: NDArray[np.float64] = shared / (sizes[: len(left)] + sizes[len(left) :] - shared)
        return similarity


def shingles(texts: Sequence[str]) -> Shingles:
    """The set of word 3-grams of each text, folded; a text of fewer words is one shingle.

    A script without spaces counts each character as a word (`text.words`). Shingles are compared by 64-bit hashes.
    """
    codes, lengths, vocabulary = _coded(texts)
    hashed = np.array([_word_hash(word) for word in vocabulary], dtype=np.uint64)[codes]
    grams = np.zeros(max(0, len(hashed) - WIDTH + 1), dtype=np.uint64)
    for offset in range(WIDTH):
        grams = _mixed(grams + hashed[offset : offset + len(grams)])
    whole = np.ones(len(hashed), dtype=bool)
    for offset in range(1, WIDTH):
        whole[np.cumsum(lengths) - offset] = False  # these would reach into the next text
    hashes, ids = np.unique(grams[whole[: len(grams)]], return_inverse=True)
    rows = np.repeat(np.arange(len(texts)), lengths - WIDTH + 1)
    rows, ids = np.divmod(_ascending(rows * len(hashes) + ids), max(1, len(hashes)))
    return Shingles(hashes[ids], np.searchsorted(rows, np.arange(len(texts) + 1)))


def signatures(sets: Shingles, permutations: int) -> NDArray[np.uint32]:
    """MinHash signatures (sets, permutations); the share of places where two agree estimates their Jaccard similarity.

    R-MinHash of rensa, which fills the places bucket by bucket (Dahlgaard, Knudsen & Thorup 2017, "Fast Similarity
    Sketching"); its standard error stays below √(J(1 − J) / permutations), that of Broder (1997).
    """
    from rensa import RMinHash

    starts = sets.starts.astype(np.uint64)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(sets.hashes, starts, permutations, SEED).to_rows()
    values = np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=len(sets) * permutations)
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
    keys: Hashes

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
        for key, next_key in self._bands():
            sought = sought[~found[sought]]
            order = known[np.lexsort((next_key[known], key[known]))]
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
            order = _crowded(sought, key[sought])
            order = order[np.lexsort((next_key[order], key[order]))]  # the most alike of a bucket stand side by side
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

    def _bands(self) -> Iterator[tuple[Hashes, Hashes]]:
        """Each band's keys of the sets, and those of the band before it; put together when they are needed."""
        before = self._band(-1) if self._band_count else np.zeros(0, dtype=np.uint64)
        for band in range(self._band_count):
            keys = self._band(band)
            yield keys, before
            before = keys

    def _band(self, band: int) -> Hashes:
        return np.concatenate([batch.keys[band] for batch in self._batches])[self._text_of]


def cluster(texts: Sequence[str], threshold: float = 0.6, permutations: int = 256) -> Ints:
    """The cluster of each text (n,), named by its lowest row; single linkage over exact Jaccard ≥ `threshold`.

    Pairs are proposed by bands, so that few just above the threshold are missed; none below it is taken.
    """
    sketches = Sketches.of(texts, threshold, permutations)
    found = sketches.clusters(sketches.set_of)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return first[inverse]


def _coded(texts: Sequence[str]) -> tuple[Ints, Ints, list[str]]:
    """Words as numbers, all texts after another; words a text, at least WIDTH; the word of each number."""
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    codes: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = words(text)
        found += [""] * (WIDTH - len(found))  # no word of a text is empty
        codes.extend([vocabulary[word] for word in found])
        lengths.append(len(found))
    return np.array(codes, dtype=np.int64), np.array(lengths, dtype=np.int64), list(vocabulary)


def _ascending(values: Ints) -> Ints:
    """The distinct `values` in order; np.unique without its hash table, which is slow where most are distinct."""
    values = np.sort(values)
    distinct: Ints = values[np.diff(values, prepend=values[:1] - 1) != 0]
    return distinct


@lru_cache(1 << 16)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    """A bijection of 64 bits in which each bit depends on all: splitmix64's (Steele, Lea & Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _band_keys(sets: Shingles, bands: int, rows: int) -> Hashes:
    """A hash of each set's rows of each band: (bands, sets)."""
    weights = _mixed(np.arange(rows, dtype=np.uint64)) | np.uint64(1)
    keys = np.empty((bands, len(sets)), dtype=np.uint64)
    step = max(1, PLACES_AT_ONCE // (bands * rows))
    for start in range(0, len(sets), step):
        part = np.arange(start, min(start + step, len(sets)))
        found = signatures(sets.take(part), bands * rows).reshape(len(part), bands, rows)
        keys[:, part] = (found * weights).sum(axis=2).T
    return keys


def _crowded(sets: Ints, keys: Hashes) -> Ints:
    """Those of `sets` that share their key with another."""
    _, place, count = np.unique(keys, return_inverse=True, return_counts=True)
    return sets[count[place] > 1]


def _side_by_side(own: Hashes, first: Ints, keys: Hashes) -> Iterator[tuple[Ints, Ints]]:
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
    roots = roots.copy()
    while (apart := roots[left] != roots[right]).any():
        ends = np.stack([roots[left[apart]], roots[right[apart]]])
        np.minimum.at(roots, ends.max(axis=0), ends.min(axis=0))
        while ((above := roots[roots]) != roots).any():
            roots = above
    return roots
