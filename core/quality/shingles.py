"""Texts as sets of word triples, and how alike two such sets are."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..text import words

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

WIDTH = 3  # words a shingle
SHINGLES_AT_ONCE = 1 << 21  # of pairs that are checked together
PAIR_SHIFT, HASH_SHIFT = np.uint64(43), np.uint64(21)


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
        grams = mixed(grams + hashed[offset : offset + len(grams)])
    whole = np.ones(len(hashed), dtype=bool)
    for offset in range(1, WIDTH):
        whole[np.cumsum(lengths) - offset] = False  # these would reach into the next text
    hashes, ids = np.unique(grams[whole[: len(grams)]], return_inverse=True)
    rows = np.repeat(np.arange(len(texts)), lengths - WIDTH + 1)
    rows, ids = np.divmod(_ascending(rows * len(hashes) + ids), max(1, len(hashes)))
    return Shingles(hashes[ids], np.searchsorted(rows, np.arange(len(texts) + 1)))


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


def mixed(values: Hashes) -> Hashes:
    """A bijection of 64 bits in which each bit depends on all: splitmix64's (Steele, Lea & Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
