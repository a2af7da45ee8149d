"""Train the candidate adapter."""

import shutil

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.digests import digest_of
from ..core.engines.base import Adapter
from ..core.loops import load_loop
from ..core.models.store import ModelStore
from ..core.rounds import Champion, Site, TrainedAdapter
from ..core.training.control.step import Step
from ..core.training.keeping.former import Former
from ..core.training.settings import Training
from ..core.training.watched import learn
from .live import shown_live
from .progress import stages
from .steps import cached


@task(**cached("train", version=4))
def train_lora(
    site: Site,
    kept: Artifact,
    replayed: Artifact | None,
    rehearsal: Artifact,
    left_out: tuple[str, ...],
    seeds: str,
    prompts: str,
    base: str,
    training: Training,
    seed: int,
    champion: Champion | None,
    about: str = "",
) -> TrainedAdapter:
    """Train on seeds, kept and replayed samples and rehearsal; a killed training goes on from its last checkpoint.

    `champion` is what samples are measured with, and what the training starts from or is held to; None where the
    settings ask for none of it. `about` is the run in MLflow that shows the curves while it trains; without one nothing
    is shown.
    """
    loop, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    samples = loop.material.seed_samples()
    parts = [part for part in (kept, replayed, rehearsal) if part is not None]
    for part in parts:
        samples.extend(store.samples(part))
    read = [part.digest for part in parts]
    former = Former.at(champion.folder if champion else None, tuple(store.samples(replayed)) if replayed else ())
    known = [champion.digest] if champion else []
    identity = digest_of([read, seeds, prompts, base, training.model_dump(mode="json"), seed, *known])[:32]
    work = site.cache / "training" / identity
    with stages() as advance, shown_live(loop.name, site.home, about) as show:

        def heard(step: Step) -> None:
            show(step)
            advance("train", step.step / step.steps, step.said())

        trained = learn(
            samples,
            ModelStore().get(loop.model_ref(loop.settings.model)),
            training,
            seed=seed,
            target=work / "adapter",
            checkpoints=work,
            former=former,
            on_step=heard,
            on_measured=lambda done, of: advance("measure", done / of),
        )
    adapter = store.write_folder(work / "adapter")
    digest = Adapter.at(store.fetch_folder(adapter)).digest
    shutil.rmtree(work, ignore_errors=True)
    return TrainedAdapter(adapter=adapter, digest=digest, training=trained)
