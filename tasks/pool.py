"""Draw old samples from the loop's pool before training; take in the new ones after the verdict."""

import time
from typing import Any

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.loops import load_loop
from ..core.people.concluding import take_in_review
from ..core.people.deciding import PeopleReviewed
from ..core.pool.log import Line
from ..core.pool.replay import Replay, draw
from ..core.pool.store import Pool
from ..core.pool.versions import RoundFacts, Verdict
from ..core.quality.funnel import Funnel
from ..core.rounds import Replayed, Round, Site
from .ledger import held_out_by
from .steps import RETRIED, cached, recorded


@task(**cached("replay", version=1), **RETRIED)
def draw_replay(
    site: Site,
    pool: str,
    fresh: Artifact,
    replay: Replay,
    funnel: Funnel,
    excluded: tuple[str, ...],
    seeds: str,
    suites: dict[str, str],
    prompts: str,
    seed: int,
    ledger: Artifact | None = None,
) -> Replayed:
    """Samples of the version `pool` to train on beside the `fresh` ones, as they fit the loop and its suites now."""
    started = time.perf_counter()
    loop, store = load_loop(site.loop, excluded=excluded), ArtifactStore(site.artifacts)
    there = Pool(site.home, loop.name)
    drawn = draw(
        replay,
        there.view(pool),
        list(store.samples(fresh)),
        there.samples,
        loop.present.also(text.text for text in held_out_by(site, loop.name, ledger)),
        excluded=excluded,
        seed=seed,
    )
    return Replayed(
        samples=store.write_samples(drawn.samples),
        ids=drawn.ids,
        passed_over=drawn.passed_over,
        seconds=time.perf_counter() - started,
    )


@task(**recorded("pool"), **RETRIED)
def fill_pool(
    site: Site,
    round_: Round,
    funnel: dict[str, Any],
    kept: Artifact,
    dropped: Artifact,
    used: tuple[str, ...],
    verdict: Verdict,
    people: PeopleReviewed | None = None,
) -> Line:
    """Accept what a promoted round kept, mark what another did. Doing it twice changes nothing.

    What `people` turned down stays out for ever, and what they vouch for is accepted, as `take_in_review` tells.
    """
    facts = RoundFacts(round=round_.id, seed=round_.seed, verdict=verdict, asked=round_.samples, funnel=funnel)
    pool = Pool(site.home, round_.loop)
    line = pool.conclude_round(facts, kept, used, drawn=round_.pool, excluded=people.excluded if people else {})
    return (people and take_in_review(pool, site.loop, people, dropped)) or line
