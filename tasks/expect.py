"""Ask before training whether the champion has anything to learn from what was kept."""

from collections.abc import Sequence

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.errors import DataError
from ..core.evaluation.gate import Decision
from ..core.loops import Loop, load_loop
from ..core.models.store import ModelStore
from ..core.pool.store import Pool
from ..core.quality.scores.likelihood import Likelihood, Surprise
from ..core.quality.scores.models import Found
from ..core.rounds import Champion, Generated, Round, Sifted, Site
from ..core.training.control.worth import Expectation, Worth
from .progress import progress
from .sift import load_encoder
from .steps import Steps, cached


@task(**cached("expect", version=1))
def expect_gain(
    site: Site,
    kept: Artifact,
    worth: Worth,
    champion: Champion,
    max_length: int,
    pool: str | None,
    left_out: tuple[str, ...],
    seeds: str,
    encoder: str,
    base: str,
) -> Expectation:
    """How new the kept samples are beside seeds and pool, and what the champion makes of their answers."""
    loop, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    samples = list(store.samples(kept))
    accepted = Pool(site.home, loop.name)
    known = [seed.text for seed in loop.seeds]
    known += [one.prompt for one in accepted.samples(accepted.view(pool).accepted)] if pool else []
    embed = load_encoder(loop)
    ours, theirs = embed([one.prompt for one in samples]), embed(known)
    nearest = (ours @ theirs.T).max(1) if known and samples else [None] * len(samples)
    with progress("expect", len(samples)) as heard:
        model = Likelihood.load(Found(ModelStore().get(loop.model_ref(loop.settings.model)), champion.folder))
        read = model.of_completions(samples, max_length, heard)
    losses = [one.nats / one.tokens if isinstance(one, Surprise) else None for one in read]
    return worth([None if cosine is None else float(cosine) for cosine in nearest], losses)


def expected_of(
    steps: Steps, round_: Round, loop: Loop, sifted: Sifted, champion: Champion | None, encoder: str, base: str
) -> Expectation | None:
    """What training is expected to bring; None where nobody asks, or where there is no champion to be bettered."""
    worth = loop.settings.train.control.worth
    if worth is None or champion is None:
        return None
    return steps.run(
        expect_gain,
        kept=sifted.kept,
        worth=worth,
        champion=champion,
        max_length=loop.settings.train.max_length,
        pool=round_.pool,
        left_out=loop.material.left_out,
        seeds=loop.material.seeds_digest,
        encoder=encoder,
        base=base,
    )


def undecided(expected: Expectation) -> Decision:
    """The decision on a candidate that was not made: nothing was looked at, so nothing is spent."""
    return Decision(verdict="inconclusive", reasons=(expected.reason,), figures={}, alpha=0, look=0)


def refuse_nothing_kept(waves: Sequence[Generated], sifted: Sifted) -> None:
    """Raise DataError when samples were written and the funnel kept none, before minutes are spent on the seeds."""
    if waves and not sifted.kept.rows:
        raise DataError(
            f"the funnel kept none of {sum(wave.samples.rows for wave in waves)} samples, so there is nothing new to "
            "learn; loosen `funnel`, or train on the seeds alone with `generate.samples: 0`"
        )
