"""Duplicates by meaning: texts whose embeddings lie near each other, whatever their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from ..samples import Sample
from .alike import Likes, OneOfAlike, Ranks, kept_of_each
from .context import FunnelContext, Judgements, Need, pool_needs, threshold_needs
from .neighbours import Halves, clusters, cosines_of, nearest
from .shingles import Ints
from .sketches import Heard, unheard
from .thresholds import Auto


@dataclass(frozen=True)
class Embedded:
    """What is kept of a batch: unit rows (n, d) in 16 bits, whose cosines are off by less than 0.001, and ranks."""

    vectors: Halves
    ranks: Ranks

    def take(self, rows: Ints) -> Self:
        """Only `rows`, in their order."""
        return type(self)(self.vectors[rows], self.ranks[rows])


class EmbeddingDuplicates(OneOfAlike):
    """Drop a text that means what a held-out row, a seed, or another sample means.

    A row is dropped for a known text only if it is itself that near to it; a held-out row goes before a seed. What is
    left is clustered by single linkage, and each cluster keeps one row. Dropped rows have the score `cosine`, to the
    text that they were dropped for.
    """

    kind: Literal["embedding_duplicates"] = "embedding_duplicates"
    threshold: Annotated[float, Field(gt=0, le=1)] | Auto = Field(
        "auto", description="smallest cosine that is dropped; auto: as the encoder's cosines tell"
    )
    false_positives: float = Field(
        0.05, gt=0, lt=1, description="with auto: share of rows of a meaning of their own that may be dropped"
    )
    pool: bool = Field(False, description="drop what means the same as a sample of the loop's pool, too")

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it cannot do without."""
        return ("encoder", *threshold_needs(self.threshold), *pool_needs(self.pool))

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return self.decide([self.gather(batch, context)], context)

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Embedded:
        return Embedded(context.embed([sample.prompt for sample in batch]).astype(np.float16), self.ranks(batch))

    def decide(self, batches: Sequence[Embedded], context: FunnelContext, heard: Heard = unheard) -> Judgements:
        vectors = np.concatenate([batch.vectors for batch in batches])
        ranks = np.concatenate([batch.ranks for batch in batches])
        those = context.known(self.pool)
        compared = len(vectors) - 1 + sum(map(len, those))
        limit = context.limit(self.threshold, compared, self.false_positives)
        likes = Likes(len(vectors))
        cosines: list[float | None] = [None] * len(vectors)
        for reason, known in zip(("means_held_out", "means_seed", "means_pool"), those, strict=True):
            left, found = likes.left, np.full(len(vectors), -1, dtype=np.int64)
            best, which = nearest(vectors[left], context.vectors(known).astype(np.float16))
            found[left] = np.where(best >= limit.value, which, -1)
            likes.known(reason, found, known)
            for row, cosine in zip(left.tolist(), best.tolist(), strict=True):
                if found[row] >= 0:
                    cosines[row] = cosine
        left = likes.left
        likes.among("same_meaning", left, left[kept_of_each(clusters(vectors[left], limit.value, heard), ranks[left])])
        again, kept = likes.pairs
        for row, cosine in zip(again.tolist(), cosines_of(vectors[again], vectors[kept]).tolist(), strict=True):
            cosines[row] = cosine
        return likes.judgements({"cosine": cosines}, limit.figures, limit.notes(self.kind))
