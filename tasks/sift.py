"""Throw most of the candidates away, and say why."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prefect import task

from ..blocks.teacher import resolve_block
from ..core.artifacts import Artifact, ArtifactStore
from ..core.errors import ConfigError
from ..core.generation.planning import cell_of
from ..core.loops import Loop, load_loop
from ..core.models.encoder import Encoder
from ..core.models.store import ModelFiles, ModelStore
from ..core.naming import CONFIG
from ..core.pool.exclusion import Exclusion
from ..core.pool.store import Pool
from ..core.quality.batch.remembered import packed
from ..core.quality.context import FunnelContext, no_threshold
from ..core.quality.funnel import Funnel
from ..core.quality.known import Text
from ..core.quality.personal import mask
from ..core.quality.review.opening import open_review
from ..core.quality.scores.opening import models_of
from ..core.quality.thresholds import FEWEST, read_calibration
from ..core.rounds import Champion, Sifted, Site
from ..core.samples import Sample
from .ledger import held_out_by
from .progress import progress
from .steps import RETRIED, cached

SHOWN = 3  # examples a reason
REMARKS = "review"  # the control that keeps what judges and verifiers said of a sample


@task(**cached("filter", version=6), **RETRIED)
def filter_samples(
    site: Site,
    candidates: tuple[Artifact, ...],
    funnel: Funnel,
    excluded: tuple[str, ...],
    seeds: str,
    suites: dict[str, str],
    encoder: str,
    review: dict[str, Any],
    scoring: dict[str, str],
    champion: Champion | None,
    pool: str | None = None,
    calibration: str | None = None,
    ledger: Artifact | None = None,
) -> Sifted:
    """Run the funnel over `candidates`; write kept and dropped beside each other.

    What people `excluded` goes before the funnel, so that it displaces nothing, and after it, where filters changed it.
    Judges and verifiers answer through the reply cache, so that a second try asks only for the rest; `review` names
    who they are and what they read. `scoring` names the models and files that filters score with, among them the
    `champion` where one asks for it. `pool` is the version that is compared with, `calibration` the digest of what is
    known of the encoder's cosines; None where no filter asks for it.
    """
    loop, store = load_loop(site.loop, excluded=excluded), ArtifactStore(site.artifacts)
    started = time.perf_counter()
    out = Exclusion(excluded)
    with ExitStack() as stack:
        opened = open_review(loop, resolve_block, site.cache, stack, progress)
        context = FunnelContext(
            load_encoder(loop),
            seeds=[(seed.text, seed.label or "") for seed in loop.seeds],
            held_out=[*_held_out(loop), *held_out_by(site, loop.name, ledger)],
            review=opened.review,
            models=models_of(loop, champion, progress),
            pool=_accepted(Pool(site.home, loop.name), pool) if pool else (),
            seed_places=[f"{Path(loop.settings.seeds).name}:{seed.line}" for seed in loop.seeds],
            calibration=read_calibration(site.home, encoder_of(loop).digest) if calibration else None,
        )
        given = out.drop([sample for wave in candidates for sample in store.samples(wave)])
        kept, dropped, counts = funnel.split(given, context)
    kept = out.drop(kept)
    dropped, counts = [*dropped, *out.dropped], [*counts, *out.counts]
    if opened.review is not None:
        kept, dropped = ([_with_remarks(one, opened.review.remarks) for one in part] for part in (kept, dropped))
    return Sifted(
        kept=store.write_samples(kept),
        dropped=store.write_samples(dropped),
        counts=tuple(counts),
        cells=dict(Counter(cell_of(sample.controls) for sample in kept)),
        examples=examples_of(dropped),
        seconds=time.perf_counter() - started,
        reviewed=opened.reviewed,
        embeddings=store.write_bytes(packed(texts_to_remember(loop, kept), context), ".npz"),
    )


def encoder_of(loop: Loop) -> ModelFiles:
    """The files of the encoder that the loop names."""
    return ModelStore().get(loop.model_ref(loop.settings.encoder))


def texts_to_remember(loop: Loop, kept: Sequence[Sample]) -> list[str]:
    """The texts whose embeddings are handed on."""
    return [*(seed.text for seed in loop.seeds), *(sample.prompt for sample in kept)]


def load_encoder(loop: Loop) -> Encoder:
    """The encoder that the loop names."""
    return Encoder.load(encoder_of(loop))


def calibration_of(loop: Loop, home: Path) -> str | None:
    """The digest of what is known of the encoder's cosines; None where no filter asks, or where the seeds will tell.

    Raises ConfigError where neither does.
    """
    asked_by = loop.settings.funnel.needs.get("threshold")
    if asked_by is None:
        return None
    if (known := read_calibration(home, encoder_of(loop).digest)) is not None:
        return known.digest
    if len(loop.seeds) < FEWEST:
        raise ConfigError(f"{loop.folder / CONFIG}: `{asked_by}`: {no_threshold(len(loop.seeds))}")
    return None


def _held_out(loop: Loop) -> list[Text]:
    """What the suites ask, and where it stands."""
    return [
        Text(item.prompt, f"{suite.path.name}:{line}", name)
        for name, suite in loop.suites.items()
        for line, item in zip(suite.lines, suite.items, strict=True)
    ]


def _accepted(pool: Pool, version: str) -> list[Text]:
    """What the pool had accepted at a version, in the order of its ids."""
    samples = pool.samples(pool.view(version).accepted)
    return sorted((Text(sample.prompt, sample.id) for sample in samples), key=lambda text: text.place)


def _with_remarks(sample: Sample, remarks: Mapping[str, Sequence[str]]) -> Sample:
    """A sample that says what its reviewers said of it, and no longer what those of its parent said of that."""
    controls = {name: value for name, value in sample.controls.items() if name != REMARKS}
    if said := remarks.get(sample.id):
        controls[REMARKS] = " | ".join(said)
    return sample.model_copy(update={"controls": controls})


def examples_of(dropped: Sequence[Sample]) -> dict[str, tuple[str, ...]]:
    """A few texts for each reason, with personal data masked."""
    texts: dict[str, list[str]] = defaultdict(list)
    for sample in dropped:
        if len(texts[sample.reject_reason or ""]) < SHOWN:
            texts[sample.reject_reason or ""].append(mask(sample.prompt))  # pages are shown to more people than files
    return {reason: tuple(found) for reason, found in texts.items()}
