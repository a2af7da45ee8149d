"""Throw most of the candidates away, and say why."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.generation.planning import cell_of
from ..core.loops import Loop, load_loop
from ..core.models.encoder import Encoder
from ..core.models.store import ModelStore
from ..core.pool.exclusion import Exclusion
from ..core.quality.filters import FunnelContext
from ..core.quality.funnel import Funnel
from ..core.quality.personal import mask
from ..core.rounds import Sifted, Site
from ..core.samples import Sample
from .steps import cached

SHOWN = 3  # examples a reason


@task(**cached("filter", version=4))
def filter_samples(
    site: Site,
    candidates: tuple[Artifact, ...],
    funnel: Funnel,
    excluded: tuple[str, ...],
    seeds: str,
    suites: dict[str, str],
    encoder: str,
) -> Sifted:
    """Run the funnel over `candidates`; write kept and dropped beside each other.

    What people `excluded` goes before the funnel, so that it displaces nothing, and after it, where filters changed it.
    """
    loop, store = load_loop(site.loop, excluded=excluded), ArtifactStore(site.artifacts)
    started = time.perf_counter()
    context = FunnelContext(
        load_encoder(loop),
        seeds=[(seed.text, seed.label or "") for seed in loop.seeds],
        held_out=[item.prompt for suite in loop.suites.values() for item in suite.items],
    )
    out = Exclusion(excluded)
    kept = out.drop([sample for wave in candidates for sample in store.samples(wave)])
    kept, dropped, counts = funnel.split(kept, context)
    kept = out.drop(kept)
    dropped, counts = [*dropped, *out.dropped], [*counts, *out.counts]
    return Sifted(
        kept=store.write_samples(kept),
        dropped=store.write_samples(dropped),
        counts=tuple(counts),
        cells=dict(Counter(cell_of(sample.controls) for sample in kept)),
        examples=_examples(dropped),
        seconds=time.perf_counter() - started,
    )


def load_encoder(loop: Loop) -> Encoder:
    """The encoder that the loop names."""
    return Encoder.load(ModelStore().get(loop.model_ref(loop.settings.encoder)))


def _examples(dropped: Sequence[Sample]) -> dict[str, tuple[str, ...]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for sample in dropped:
        if len(texts[sample.reject_reason or ""]) < SHOWN:
            texts[sample.reject_reason or ""].append(mask(sample.prompt))  # pages are shown to more people than files
    return {reason: tuple(found) for reason, found in texts.items()}
