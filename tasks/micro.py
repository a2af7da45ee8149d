"""The corrections that no round has learnt yet, for a micro-round, and whether there are enough of them."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from prefect import task
from prefect.states import Completed, State

from ..blocks.registry import ModelRegistry
from ..core.artifacts import Artifact, ArtifactStore
from ..core.errors import BusyError, WheelworkError
from ..core.loops import Loop, load_loop, read_settings
from ..core.micro import MicroRound
from ..core.naming import find_loop
from ..core.pool.replay import BY_PEOPLE
from ..core.pool.store import Pool
from ..core.pool.versions import Entry, View, category_of
from ..core.quality.funnel import FilterCount, Funnel
from ..core.registry.journal import CHAMPION
from ..core.rounds import Corrections, Report, Round, Sifted, Site
from ..core.workspace import home
from .ledger import held_out_by
from .sift import examples_of
from .steps import RETRIED, Steps, cached


class NoneFits(WheelworkError):
    """None of the corrections can be learnt under the loop as it is now."""


class Waiting(NamedTuple):
    """What a micro-round would find."""

    loop: str
    corrections: int
    champion: str | None

    def why_not(self, fewest: int) -> str:
        """Why there is no micro-round now; empty where there may be one."""
        if self.corrections < fewest:
            return f"{self.corrections} corrections of {self.loop} wait; a micro-round begins at {fewest}"
        if self.champion is None:
            return f"{self.loop} has no champion to go on from; the first round is a whole one"
        return ""


def waiting_corrections(ref: str) -> Waiting:
    """How many corrections of the loop that `ref` names no round has learnt; reads its settings, not its data."""
    name = read_settings(find_loop(ref)).name
    pool = Pool(home(), name)
    found = unlearnt(pool.view(pool.head()))
    champion = ModelRegistry(name).aliases().get(CHAMPION) if found else None
    return Waiting(name, len(found), champion)


def unlearnt(view: View) -> list[Entry]:
    """What people wrote or vouched for and no round has trained on, the oldest first."""
    return [entry for entry in view.accepted if entry.origin in BY_PEOPLE and not entry.last_round]


def when_enough(
    ref: str, fewest: int, settings: MicroRound, learn: Callable[[str, MicroRound], Report]
) -> Report | State[Any]:
    """What comes of `learn` where at least `fewest` corrections wait and nothing stands against it.

    Else a state that Prefect shows as completed, with the reason on the page of the run.
    """
    why = waiting_corrections(ref).why_not(fewest)
    if not why:
        try:
            return learn(ref, settings)
        except (BusyError, NoneFits) as error:
            why = str(error)
    return Completed(name="Nothing to do", message=why)


@contextmanager
def giving_way(settings: MicroRound) -> Iterator[None]:
    """Let the gateway on this machine go first.

    A process cannot take its priority back; a worker gives each run a process of its own.
    """
    if hasattr(os, "nice"):  # not on every system
        os.nice(settings.nice)
    before = os.environ.get("OMP_NUM_THREADS")
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)  # read by the process that trains
    try:
        yield
    finally:
        if settings.threads is not None:
            del os.environ["OMP_NUM_THREADS"]
            os.environ.update({} if before is None else {"OMP_NUM_THREADS": before})


def corrections_for(steps: Steps, round_: Round, loop: Loop, most: int) -> Corrections:
    """At most so many of the corrections that no round has learnt, for this one. Raises NoneFits."""
    drawn: Corrections = steps.run(
        draw_corrections,
        pool=round_.pool,
        most=most,
        funnel=loop.settings.funnel,
        excluded=round_.excluded,
        seeds=loop.material.seeds_digest,
        suites={name: suite.digest for name, suite in loop.suites.items()},
        prompts=loop.material.prompt_digest,
        ledger=round_.ledger.items,
    )
    if not drawn.sifted.kept.rows:
        reasons = ", ".join(f"{why} {count}" for one in drawn.sifted.counts for why, count in one.dropped.items())
        raise NoneFits(f"none of {len(drawn.ids)} corrections fits the loop as it is now ({reasons})")
    return drawn


@task(**cached("corrections", version=1), **RETRIED)
def draw_corrections(
    site: Site,
    pool: str | None,
    most: int,
    funnel: Funnel,
    excluded: tuple[str, ...],
    seeds: str,
    suites: dict[str, str],
    prompts: str,
    ledger: Artifact | None = None,
) -> Corrections:
    """At most so many corrections of the version `pool`, as they fit the loop and its suites now.

    They went through the funnel when they came into the pool. Those that do not fit any more have a reason and are not
    looked at again.
    """
    started = time.perf_counter()
    loop, store = load_loop(site.loop, excluded=excluded), ArtifactStore(site.artifacts)
    there = Pool(site.home, loop.name)
    entries = unlearnt(there.view(pool))[:most]
    samples = list(there.samples(entries))
    fits = loop.present.also(text.text for text in held_out_by(site, loop.name, ledger)).fit(samples)
    kept = [fit for fit in fits if not isinstance(fit, str)]
    dropped = [
        sample.model_copy(update={"reject_reason": fit})
        for sample, fit in zip(samples, fits, strict=True)
        if isinstance(fit, str)
    ]
    sifted = Sifted(
        kept=store.write_samples(kept),
        dropped=store.write_samples(dropped),
        counts=(
            FilterCount(
                filter="present",
                rows_in=len(samples),
                rows_out=len(kept),
                dropped=dict(Counter(sample.reject_reason or "" for sample in dropped)),
                seconds=time.perf_counter() - started,
            ),
        ),
        cells=dict(Counter(category_of(sample) for sample in kept)),
        examples=examples_of(dropped),
        seconds=time.perf_counter() - started,
    )
    return Corrections(sifted=sifted, ids=tuple(entry.id for entry in entries))
