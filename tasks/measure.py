"""Measure one version of a loop on its suites, outside of a round."""

from prefect import task
from prefect.artifacts import create_table_artifact

from ..blocks.registry import ModelRegistry
from ..blocks.teacher import resolve_block
from ..blocks.tracking import Tracking
from ..core.engines.base import Adapter
from ..core.errors import RegistryError
from ..core.evaluation.measuring import BASE, CANDIDATE, Contest, measure
from ..core.loops import load_loop
from ..core.models.store import ModelStore
from ..core.naming import find_loop
from ..core.registry.journal import CHAMPION
from ..core.rounds import Measurement, Site
from ..core.workspace import home
from .ledger import open_ledger, suites_of
from .progress import progress
from .steps import RETRIED, recorded


@task(**recorded("measure"), **RETRIED)
def measure_version(ref: str, which: str) -> Measurement:
    """Let a version answer the suites and the ledger of a loop; its scores go to its run, its tags and the page.

    `which` is a version, an alias, or `base`. Replies are kept: what a round has asked is not asked again. Raises
    RegistryError where there is no such version.
    """
    site = Site(loop=find_loop(ref), home=home())
    loop = load_loop(site.loop)
    registry = ModelRegistry(loop.name)
    version = which if which == BASE else registry.aliases().get(which, which)
    if version != BASE and (not version.isdecimal() or registry.version(version) is None):
        raise RegistryError(f"{loop.name} has no version `{which}`; `wheelwork history {ref}` lists them")
    suites = loop.suites | suites_of(
        site, loop.name, open_ledger(site, loop.name, "", loop.settings.ledger, anew=True).items
    )
    base = ModelStore().get(loop.model_ref(loop.settings.model))
    adapters = {} if version == BASE else {CANDIDATE: Adapter.at(registry.adapter(version).folder)}
    champion = registry.champion()
    if version != BASE and champion is not None:
        adapters[CHAMPION] = Adapter.at(champion.folder)  # whom a win rate is against
    model = BASE if version == BASE else CANDIDATE
    measured = measure(Contest(loop, base, adapters, suites, only=model), site.cache, resolve_block, progress)
    scores = {
        name: answered[model].mean for name, answered in measured.answered.items() if answered[model].mean is not None
    }
    found = Measurement(
        loop=loop.name,
        version=version,
        scores={name: score for name, score in scores.items() if score is not None},
        unscored=tuple(sorted(measured.answered.keys() - scores.keys())),
        calls=measured.calls,
        reused=measured.reused,
        seconds=measured.seconds,
    )
    _record(site, registry, found)
    return found


def _record(site: Site, registry: ModelRegistry, found: Measurement) -> None:
    """Scores as metrics of the version's run and as its tags, and as a table on Prefect's page."""
    there = None if found.version == BASE else registry.version(found.version)
    if there is not None:
        if there.run:
            metrics = {f"measured.{name}": score for name, score in found.scores.items()}
            Tracking(found.loop, site.home).log(there.run, metrics=metrics)
        registry.tag_version(
            found.version, {f"measured.{name}": f"{score:.4f}" for name, score in found.scores.items()}
        )
    create_table_artifact(
        [{"suite": name, "score": round(score, 4)} for name, score in found.scores.items()]
        + [{"suite": name, "score": None} for name in found.unscored],
        key=f"{found.loop.lower().replace('_', '-')}-measured-{found.version}",
        description=f"{found.loop}, {'the base' if found.version == BASE else f'version {found.version}'}",
    )
