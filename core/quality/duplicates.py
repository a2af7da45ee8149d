"""The duplicate filters: exact ones by a hash of their folded text, near ones by their clusters in `sketches.py`.

Both need to see every row. They take what they need from one batch at a time (`gather`), and judge what was gathered
(`decide`); a call does the one after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..digests import digest_of_folded
from ..samples import Sample
from .alike import Likes, OneOfAlike, Ranks, found_in, kept_of_each
from .context import FunnelContext, Judgements, Need, pool_needs
from .shingles import Ints
from .sketches import Heard, Sketch, Sketches, unheard


@dataclass(frozen=True)
class Hashed:
    """What is kept of a batch to find exact duplicates: a hash of each folded text, and its rank."""

    hashes: NDArray[np.uint64]
    ranks: Ranks

    def take(self, rows: Ints) -> Self:
        """Only `rows`, in their order."""
        return type(self)(self.hashes[rows], self.ranks[rows])


class ExactDuplicates(OneOfAlike):
    """Drop a text that a seed, a held-out row or another sample already has, but for case and spacing."""

    kind: Literal["exact_duplicates"] = "exact_duplicates"
    pool: bool = Field(False, description="drop what a sample of the loop's pool has, too")

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it cannot do without."""
        return pool_needs(self.pool)

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return self.decide([self.gather(batch, context)], context)

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Hashed:
        return Hashed(hashes_of(sample.prompt for sample in batch), self.ranks(batch))

    def decide(self, batches: Sequence[Hashed], context: FunnelContext, heard: Heard = unheard) -> Judgements:
        hashes = np.concatenate([batch.hashes for batch in batches])
        ranks = np.concatenate([batch.ranks for batch in batches])
        likes = Likes(len(hashes))
        for reason, known in zip(("held_out", "copies_seed", "copies_pool"), context.known(self.pool), strict=True):
            likes.known(reason, found_in(hashes, hashes_of(row.text for row in known)), known)
        left = likes.left
        likes.among("duplicate", left, left[kept_of_each(hashes[left], ranks[left])])
        return likes.judgements()


@dataclass(frozen=True)
class Sketched:
    """What is kept of a batch to find near duplicates: the sketches of its texts, and their ranks."""

    sketch: Sketch
    ranks: Ranks

    def take(self, rows: Ints) -> Self:
        """Only `rows`, in their order."""
        return type(self)(self.sketch.take(rows), self.ranks[rows])


class NearDuplicates(OneOfAlike):
    """Drop a text whose word 3-grams are nearly those of a held-out row, a seed, or another sample.

    A row is dropped for a known text only if it is itself that near to it; a held-out row goes before a seed. What is
    left is clustered, and each cluster keeps one row: where A is near B and B near C, the three count as one text.
    """

    kind: Literal["near_duplicates"] = "near_duplicates"
    threshold: float = Field(0.6, gt=0, le=1, description="smallest Jaccard similarity that is dropped")
    permutations: int = Field(256, ge=16, le=4096, description="length of a MinHash signature; more miss less")
    pool: bool = Field(False, description="drop what is near to a sample of the loop's pool, too")

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it cannot do without."""
        return pool_needs(self.pool)

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return self.decide([self.gather(batch, context)], context)

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Sketched:
        return Sketched(self._sketch([sample.prompt for sample in batch]), self.ranks(batch))

    def decide(self, batches: Sequence[Sketched], context: FunnelContext, heard: Heard = unheard) -> Judgements:
        texts = context.known(self.pool)
        known = [self._sketch([row.text for row in one]) for one in texts]
        sketches = Sketches([*known, *(batch.sketch for batch in batches)], self.threshold)
        ranks = np.concatenate([batch.ranks for batch in batches])
        *known_sets, rows = np.split(sketches.set_of, np.cumsum([len(part.sets) for part in known]))
        likes = Likes(len(rows))
        near = np.full(len(rows), -1, dtype=np.int64)  # the set that a row is near to
        for reason, sets, those in zip(("near_held_out", "near_seed", "near_pool"), known_sets, texts, strict=True):
            left = likes.left
            near[left] = sketches.match(rows[left], sets)
            likes.known(reason, np.where(near >= 0, found_in(near, sets), -1), those)
        left = likes.left
        likes.among("near_duplicate", left, left[kept_of_each(sketches.clusters(rows[left], heard), ranks[left])])
        again, kept = likes.pairs
        near[again] = rows[kept]
        return likes.judgements({"similarity": _similarities(sketches, rows, near)})

    def _sketch(self, texts: Sequence[str]) -> Sketch:
        return Sketch.of(texts, self.threshold, self.permutations)


def _similarities(sketches: Sketches, rows: Ints, near: Ints) -> list[float | None]:
    """How similar each dropped row is to what it was dropped for, whose set is in `near`; of a chain maybe little."""
    found: list[float | None] = [None] * len(rows)
    dropped = np.flatnonzero(near >= 0)
    for row, similarity in zip(dropped.tolist(), sketches.similarity(rows[dropped], near[dropped]), strict=True):
        found[row] = float(similarity)
    return found


def hashes_of(texts: Iterable[str]) -> NDArray[np.uint64]:
    """`digest_of_folded` of each text (n,)."""
    return np.frombuffer(b"".join(map(digest_of_folded, texts)), dtype=np.uint64)
