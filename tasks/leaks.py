"""The last door before training: a round ends when its training data holds what a suite holds out."""

from collections.abc import Sequence

import numpy as np
from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.evaluation.holdouts.leaks import LeakCheck, Looked, find_leaks, refuse_leaked
from ..core.evaluation.holdouts.texts import Said, held_out_in, learnt_from, said_of
from ..core.ledger.suites import NAME, read_snapshot
from ..core.loops import Loop, load_loop
from ..core.models.encoder import Vectors
from ..core.quality.batch.remembered import Remembered, packed
from ..core.quality.context import FunnelContext
from ..core.rounds import Replayed, Round, Sifted, Site
from ..core.settings import Setting
from .sift import load_encoder
from .steps import Steps, cached


class Embedded(Setting):
    """Embeddings of texts that stay the same from round to round."""

    vectors: Artifact


def refuse_leaks_into(
    steps: Steps,
    round_: Round,
    loop: Loop,
    sifted: Sifted,
    replayed: Replayed | None,
    rehearsal: Artifact,
    suites: dict[str, str],
    encoder: str,
) -> Looked:
    """What was looked at; LeakError where a row that would be trained on is held out."""
    known: Embedded | None = None
    if loop.settings.leaks.cosine is not None:
        known = steps.run(
            embed_held_out,
            suites=suites,
            rehearsal=loop.rehearsal_digest,
            ledger=round_.ledger.items,
            encoder=encoder,
        )
    looked: Looked = steps.run(
        check_leaks,
        kept=sifted.kept,
        replayed=replayed.samples if replayed else None,
        rehearsal=rehearsal,
        left_out=loop.material.left_out,
        seeds=loop.material.seeds_digest,
        suites=suites,
        ledger=round_.ledger.items,
        check=loop.settings.leaks,
        encoder=encoder,
        embeddings=tuple(one for one in (sifted.embeddings, known.vectors if known else None) if one),
    )
    return looked


@task(**cached("embed", version=1))
def embed_held_out(
    site: Site, suites: dict[str, str], rehearsal: str, ledger: Artifact | None, encoder: str
) -> Embedded:
    """What suites and ledger hold out, and the rehearsal, embedded once for as long as they stay as they are."""
    loop, store = load_loop(site.loop), ArtifactStore(site.artifacts)
    held = held_out(loop, store, ledger)
    texts = list(dict.fromkeys([*(one.text for one in held), *loop.rehearsal]))
    context = FunnelContext(load_encoder(loop))
    context.embed(texts)
    return Embedded(vectors=store.write_bytes(packed(texts, context), ".npz"))


@task(**cached("leaks", version=1))
def check_leaks(
    site: Site,
    kept: Artifact,
    replayed: Artifact | None,
    rehearsal: Artifact,
    left_out: tuple[str, ...],
    seeds: str,
    suites: dict[str, str],
    ledger: Artifact | None,
    check: LeakCheck,
    encoder: str,
    embeddings: tuple[Artifact, ...] = (),
) -> Looked:
    """Compare all that is trained on with all that is held out. Raises LeakError for a leak, with rows and suites."""
    loop, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    rows = learnt_from(loop.material.seed_samples(), "seeds")
    for part, samples in (("kept", kept), ("replayed", replayed), ("rehearsal", rehearsal)):
        rows += learnt_from(store.samples(samples), part) if samples else []
    embed = _Known([store.read_bytes(one) for one in embeddings], loop) if check.cosine is not None else None
    found = find_leaks(rows, held_out(loop, store, ledger), check, embed)
    refuse_leaked(found, loop.name)
    return found.looked


def held_out(loop: Loop, store: ArtifactStore, ledger: Artifact | None) -> list[Said]:
    """What the suites ask, and what rounds fixed: that came from suites, wherever these are now."""
    fixed = [one.entry for one in read_snapshot(store, ledger) if one.entry.held_out]
    asked = held_out_in(loop.suites)
    return asked + [said_of(entry.item, NAME, f"item {entry.id}") for entry in fixed]


class _Known:
    """Embeddings that are there, one file after the other; the encoder is loaded for what none of them has."""

    def __init__(self, files: Sequence[bytes], loop: Loop) -> None:
        self.fingerprint = "known"
        self._loop = loop
        self._next = Remembered(files[0], lambda: _Known(files[1:], loop)) if files else None

    def __call__(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, 1), dtype=np.float32)
        if self._next is None:
            self._next = load_encoder(self._loop)  # type: ignore[assignment]
        return self._next(texts)  # type: ignore[misc]
