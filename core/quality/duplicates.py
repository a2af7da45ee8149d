"""The duplicate filters: exact ones by a hash of their folded text, near ones by their clusters in `sketches.py`.

Both need to see every row. They take what they need from one batch at a time (`gather`), and judge what was gathered
(`decide`); a call does the one after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..samples import Sample
from ..settings import Setting
from ..text import normalised
from .filters import FunnelContext, Judgements
from .shingles import Ints
from .sketches import Heard, Sketch, Sketches, unheard

Keep = Literal["first", "best"]
Ranks = NDArray[np.float64]
Flags = NDArray[np.bool_]


class OneOfAlike(Setting):
    """Which of several samples that are alike is kept."""

    keep: Keep = Field("first", description="which of several alike is kept: the first, or the best by a score")
    best_by: str = Field(
        "",
        description="with `keep: best`: the score whose highest value is kept; rows without it rank last",
    )

    @model_validator(mode="after")
    def _keep_fits_best_by(self) -> Self:
        if self.keep == "best" and not self.best_by:
            raise ValueError("`keep: best` needs `best_by`, the name of a score; or write `keep: first`")
        if self.keep == "first" and self.best_by:
            raise ValueError("`best_by` counts with `keep: best` only; write that, or remove `best_by`")
        return self

    def ranks(self, batch: Sequence[Sample]) -> Ranks:
        """What decides among those alike, (n,): higher is better."""
        if not self.best_by:
            return np.zeros(len(batch))
        return np.array([sample.scores.get(self.best_by, -np.inf) for sample in batch], dtype=np.float64)


def one_of_each(groups: NDArray[Any], ranks: Ranks) -> Flags:
    """Of the rows (n,) of each group, which one is kept: the highest of `ranks`, of equal ones the first."""
    order = np.lexsort((-ranks, groups))
    kept = np.zeros(len(groups), dtype=bool)
    kept[order[np.flatnonzero(np.diff(groups[order], prepend=~groups[order[:1]]))]] = True
    return kept


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

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return Judgements(self.decide([self.gather(batch, context)], context))

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Hashed:
        return Hashed(hashes_of(sample.prompt for sample in batch), self.ranks(batch))

    def decide(self, batches: Sequence[Hashed], context: FunnelContext, heard: Heard = unheard) -> list[str | None]:
        hashes = np.concatenate([batch.hashes for batch in batches])
        ranks = np.concatenate([batch.ranks for batch in batches])
        leaked = np.isin(hashes, hashes_of(context.held_out))
        copied = np.isin(hashes, hashes_of(text for text, _ in context.seeds))
        left = np.flatnonzero(~(leaked | copied))
        again = left[~one_of_each(hashes[left], ranks[left])]
        return _named(len(hashes), duplicate=again, copies_seed=copied, held_out=leaked)


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

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return Judgements(self.decide([self.gather(batch, context)], context))

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Sketched:
        return Sketched(self._sketch([sample.prompt for sample in batch]), self.ranks(batch))

    def decide(self, batches: Sequence[Sketched], context: FunnelContext, heard: Heard = unheard) -> list[str | None]:
        known = [self._sketch(context.held_out), self._sketch([text for text, _ in context.seeds])]
        sketches = Sketches([*known, *(batch.sketch for batch in batches)], self.threshold)
        ranks = np.concatenate([batch.ranks for batch in batches])
        held_out, seeds, rows = np.split(sketches.set_of, np.cumsum([len(part.sets) for part in known]))
        leaked, copied = sketches.near(rows, held_out), sketches.near(rows, seeds)
        left = np.flatnonzero(~(leaked | copied))
        again = left[~one_of_each(sketches.clusters(rows[left], heard), ranks[left])]
        return _named(len(rows), near_duplicate=again, near_seed=copied, near_held_out=leaked)

    def _sketch(self, texts: Sequence[str]) -> Sketch:
        return Sketch.of(texts, self.threshold, self.permutations)


def _named(rows: int, **reasons: Ints | Flags) -> list[str | None]:
    """The reason of each row: the last one whose rows it is among, or None."""
    named = np.full(rows, None, dtype=object)
    for reason, of_rows in reasons.items():
        named[of_rows] = reason
    found: list[str | None] = named.tolist()
    return found


def hashes_of(texts: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits of each text, folded: among a million texts two differ and are equal here once in 40 million times."""
    digests = [blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)
