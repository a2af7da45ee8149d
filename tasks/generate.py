"""Write candidate samples with the teacher."""

import time
from contextlib import ExitStack

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.digests import digest_of
from ..core.generation.augment.children import augment, wishes
from ..core.generation.augment.longtail import extra_children
from ..core.generation.augment.settings import Augmentation
from ..core.generation.fill import Rows, fill_orders
from ..core.loops import Loop, load_loop
from ..core.rounds import Generated, Round, Sifted, Site
from ..core.teaching import Teaching
from .progress import progress
from .sift import load_encoder
from .steps import RETRIED, Steps, cached
from .teachers import teachers_of


@task(**cached("generate", version=3), **RETRIED)
def write_samples(
    site: Site,
    loop: str,
    left_out: tuple[str, ...],
    round_id: str,
    teacher: str,
    wanted: dict[str, int],
    wave: int,
    seed: int,
) -> Generated:
    """Ask the teacher for `wanted` samples by cell; each reply is kept, so that a second try asks only for the rest."""
    read, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    started = time.perf_counter()
    with ExitStack() as stack:
        teaching = teachers_of(read).open(site.cache, read.settings.generate.budget, stack)
        advance = stack.enter_context(progress("generate", sum(wanted.values()), lambda: teaching.cost))
        orders = read.material.orders(wanted, choices=teaching.choices, seed=int(digest_of([seed, wave])[:8], 16))
        source = f"teacher:{teaching.chat.fingerprint[:16]}"
        stream = fill_orders(
            orders, read.material.writing, teaching.chat, origin="teacher", source=source, round=round_id
        )
        rows = Rows(stream, teaching.chat, advance)
        samples = store.write_samples(rows)
    return generated(samples, rows, teaching, teacher, time.perf_counter() - started)


@task(**cached("augment", version=2), **RETRIED)
def vary_samples(
    site: Site,
    parents: Artifact,
    augmentation: Augmentation,
    left_out: tuple[str, ...],
    round_id: str,
    teacher: str,
    seeds: str,
    encoder: str,
) -> Generated:
    """Children of the seeds and of `parents`, each checked against its parent; `seeds` and `encoder` are digests.

    Labels, categories and clusters that the funnel left below their quota get more of them.
    """
    read, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    started = time.perf_counter()
    families = [*read.material.seed_samples(), *store.samples(parents)]
    encode = load_encoder(read)
    extra = extra_children(families, augmentation, read.settings.generate.quotas, encode)
    total = sum(1 for parent in families for _ in wishes(parent, augmentation, extra.get(parent.id, 0)))
    with ExitStack() as stack:
        teaching = teachers_of(read).open(site.cache, read.settings.generate.budget, stack)
        advance = stack.enter_context(progress("augment", total, lambda: teaching.cost))
        stream = augment(
            families,
            augmentation,
            teaching.chat,
            encode,
            seeds=[(seed.text, seed.label) for seed in read.seeds if seed.label],
            language=read.settings.language,
            overrides=read.folder / "prompts",
            extra=extra,
            source=f"teacher:{teaching.chat.fingerprint[:16]}",
            round=round_id,
        )
        rows = Rows(stream, teaching.chat, advance)
        samples = store.write_samples(rows)
    return generated(samples, rows, teaching, teacher, time.perf_counter() - started)


def written(steps: Steps, loop: Loop, round_: Round, wanted: dict[str, int], wave: int) -> Generated:
    """One wave of a round."""
    return steps.run(
        write_samples,
        loop=loop.digest,
        left_out=loop.material.left_out,
        round_id=round_.id,
        teacher=teachers_of(loop).fingerprint(),
        wanted=wanted,
        wave=wave,
        seed=round_.seed,
    )


def varied(
    steps: Steps, loop: Loop, round_: Round, sifted: Sifted, augmentation: Augmentation, encoder: str
) -> Generated:
    """The wave of children of what a round kept so far."""
    return steps.run(
        vary_samples,
        parents=sifted.kept,
        augmentation=augmentation,
        left_out=loop.material.left_out,
        round_id=round_.id,
        teacher=teachers_of(loop).fingerprint(),
        seeds=loop.material.seeds_digest,
        encoder=encoder,
    )


def generated(samples: Artifact, rows: Rows, teaching: Teaching, teacher: str, seconds: float) -> Generated:
    """What a wave was, from the counts of its rows and of its teachers."""
    return Generated(
        samples=samples,
        refused=dict(rows.refused),
        calls=teaching.chat.calls,
        reused=teaching.chat.hits,
        prompt_tokens=teaching.chat.prompt_tokens,
        completion_tokens=teaching.chat.completion_tokens,
        cost=teaching.cost,
        seconds=seconds,
        teacher=teacher,
    )
