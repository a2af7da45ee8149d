"""The duplicate filters: exact ones by their folded text, near ones by their clusters in `sketches.py`."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ..samples import Sample
from ..settings import Setting
from ..text import normalised
from .filters import FunnelContext, Judgements
from .sketches import Sketches

Keep = Literal["first", "best"]


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

    def kept(self, rows: Sequence[int], groups: Iterable[Hashable], batch: Sequence[Sample]) -> set[int]:
        """The one of `rows` that each of their `groups` keeps."""
        kept: dict[Hashable, int] = {}
        for row, group in zip(rows, groups, strict=True):
            if self._rank(batch[row]) > self._rank(batch[kept.setdefault(group, row)]):
                kept[group] = row
        return set(kept.values())

    def _rank(self, sample: Sample) -> float:
        return sample.scores.get(self.best_by, float("-inf")) if self.best_by else 0.0


class ExactDuplicates(OneOfAlike):
    """Drop a text that a seed, a held-out row or another sample already has, but for case and spacing."""

    kind: Literal["exact_duplicates"] = "exact_duplicates"

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        seeds = {normalised(text) for text, _ in context.seeds}
        held_out = {normalised(text) for text in context.held_out}
        texts = [normalised(sample.prompt) for sample in batch]
        known = ["held_out" if text in held_out else "copies_seed" if text in seeds else None for text in texts]
        left = [row for row, reason in enumerate(known) if reason is None]
        kept = self.kept(left, [texts[row] for row in left], batch)
        return Judgements([reason or (None if row in kept else "duplicate") for row, reason in enumerate(known)])


class NearDuplicates(OneOfAlike):
    """Drop a text whose word 3-grams are nearly those of a held-out row, a seed, or another sample.

    A row is dropped for a known text only if it is itself that near to it; a held-out row goes before a seed. What is
    left is clustered, and each cluster keeps one row: where A is near B and B near C, the three count as one text.
    """

    kind: Literal["near_duplicates"] = "near_duplicates"
    threshold: float = Field(0.6, gt=0, le=1, description="smallest Jaccard similarity that is dropped")
    permutations: int = Field(256, ge=16, le=4096, description="length of a MinHash signature; more miss less")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        known = [*context.held_out, *(text for text, _ in context.seeds)]
        texts = [*known, *(sample.prompt for sample in batch)]
        sketches = Sketches.of(texts, self.threshold, self.permutations)
        held_out, seeds, rows = np.split(sketches.set_of, [len(context.held_out), len(known)])
        leaked, copied = sketches.near(rows, held_out), sketches.near(rows, seeds)
        left = np.flatnonzero(~(leaked | copied))
        clusters = sketches.clusters(rows[left])
        kept = self.kept(left.tolist(), clusters.tolist(), batch)
        return Judgements(
            [
                "near_held_out" if leak else "near_seed" if copy else None if row in kept else "near_duplicate"
                for row, (leak, copy) in enumerate(zip(leaked.tolist(), copied.tolist(), strict=True))
            ]
        )
