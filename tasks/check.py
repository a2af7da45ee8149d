"""Look at what the funnel kept as a whole, beside the seeds, and correct it where the loop says so."""

import time

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.loops import Loop, load_loop
from ..core.quality.batch.check import check
from ..core.quality.batch.correct import Corrections, correct
from ..core.quality.batch.remembered import Remembered
from ..core.quality.batch.sampling import NOT_SAMPLED
from ..core.quality.batch.settings import Batch
from ..core.quality.batch.sides import MARGIN, Side, with_margins
from ..core.quality.funnel import FilterCount
from ..core.rounds import Checked, Site
from ..core.samples import Sample
from .sift import load_encoder
from .steps import RETRIED, cached


@task(**cached("check", version=2), **RETRIED)
def check_batch(
    site: Site,
    kept: Artifact,
    dropped: Artifact,
    embeddings: Artifact,
    batch: Batch,
    planned: dict[str, float],
    left_out: tuple[str, ...],
    seeds: str,
    encoder: str,
    seed: int,
) -> Checked:
    """The findings on `kept`, and what is trained on: `kept` itself, unless `batch` names a correction.

    `embeddings` are those that the funnel made, so that the encoder is loaded only for what it did not look at.
    """
    started = time.perf_counter()
    loop, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    samples = list(store.samples(kept))
    embed = Remembered(store.read_bytes(embeddings), lambda: load_encoder(loop))
    reference = _reference(loop, samples, embed)
    ours, theirs = (Side.of(side, batch.rows, seed) for side in (samples, reference))
    target = batch.wanted(theirs.categories, planned)
    found = check(ours, theirs, batch, embed, target, seed)
    corrected = correct(samples, theirs.texts, batch, embed, target, seed)
    report = found.report.model_copy(
        update={
            "findings": (*found.report.findings, *corrected.findings),
            "corrections": corrected.done,
            "seconds": time.perf_counter() - started,
        }
    )
    return Checked(
        kept=store.write_samples(corrected.kept) if batch.corrects else kept,
        dropped=_dropped(store, dropped, corrected),
        counts=_counts(samples, corrected, report.seconds),
        report=report,
        plot=store.write_json(found.plot.model_dump(mode="json")),
    )


def _reference(loop: Loop, samples: list[Sample], embed: Remembered) -> list[Sample]:
    """The seeds, with the score that the funnel gave the kept where it did."""
    seeds = loop.material.seed_samples()
    return with_margins(seeds, embed) if any(MARGIN in sample.scores for sample in samples) else seeds


def _dropped(store: ArtifactStore, dropped: Artifact, corrected: Corrections) -> Artifact:
    if not corrected.dropped:
        return dropped
    return store.write_samples([*store.samples(dropped), *corrected.dropped])


def _counts(samples: list[Sample], corrected: Corrections, seconds: float) -> tuple[FilterCount, ...]:
    if not corrected.dropped:
        return ()
    return (
        FilterCount(
            filter="sample",
            rows_in=len(samples),
            rows_out=len(corrected.kept),
            dropped={NOT_SAMPLED: len(corrected.dropped)},
            seconds=seconds,
        ),
    )
