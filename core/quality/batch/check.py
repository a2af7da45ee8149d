"""Looking at what a funnel kept as a whole, beside a reference."""

import time
from typing import Literal, NamedTuple

import numpy as np

from .distance import Components
from .findings import BatchReport, Check, unknown
from .mix import Target
from .picture import Plot, plot_of
from .settings import Batch
from .sides import Embed, Side, Vectors


class Checked(NamedTuple):
    """The findings, and what a picture of them is drawn from."""

    report: BatchReport
    plot: Plot


def check(kept: Side, reference: Side, settings: Batch, embed: Embed | str, target: Target, seed: int) -> Checked:
    """Every check of `settings` on `kept` beside `reference`; the same for the same seed.

    `embed` is an encoder, or why there is none; then what needs one is unknown.
    """
    started = time.perf_counter()
    of: Literal["labels", "categories"] = "labels" if kept.labelled else "categories"
    findings = settings.numbers(kept, reference, settings.alpha, settings.min_rows)
    findings += settings.mix(kept.categories, target, of, settings.alpha, settings.min_rows, seed)
    components: Components | None = None
    vectors: tuple[Vectors, Vectors] | None = None
    if isinstance(embed, str):
        findings += [unknown(*what, embed) for what in _by_embeddings(of)]
    else:
        vectors = _embedded(embed, kept), _embedded(embed, reference)
        distance, components = settings.distance(*vectors, settings.alpha, settings.min_rows, seed)
        findings += [distance, *settings.diversity(vectors[0], kept.text_categories, of, settings.min_rows)]
    report = BatchReport(
        kept=kept.rows,
        reference=reference.rows,
        findings=tuple(findings),
        notes=() if isinstance(embed, str) else _notes(kept, reference),
        seconds=time.perf_counter() - started,
    )
    return Checked(report, plot_of(kept, reference, target, vectors, components))


def _by_embeddings(of: str) -> list[tuple[Check, str]]:
    return [("distance", "embeddings"), ("cosine_within", of), ("cosine", "texts")]


def _embedded(embed: Embed, side: Side) -> Vectors:
    return embed(side.texts) if side.texts else np.zeros((0, 1), dtype=np.float32)


def _notes(kept: Side, reference: Side) -> tuple[str, ...]:
    return tuple(
        f"Embeddings are those of {len(side.texts):,} of {side.rows:,} {name} rows, drawn by the seed."
        for name, side in (("kept", kept), ("reference", reference))
        if len(side.texts) < side.rows
    )
