"""Ask base, champion and candidate every question of every suite, through the engine that serves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task

from ..blocks.teacher import resolve_block
from ..core.artifacts import Artifact, ArtifactStore
from ..core.engines.base import Adapter
from ..core.evaluation.benchmark import Answered
from ..core.evaluation.breakdown import breakdown
from ..core.evaluation.measuring import BASE, CANDIDATE, CHAMPION, Contest, measure
from ..core.evaluation.opening import scoring_identity
from ..core.evaluation.suites import Suite
from ..core.loops import Loop, load_loop
from ..core.models.store import ModelStore
from ..core.rounds import Champion, Results, Site, SuiteAnswers
from .ledger import suites_of
from .progress import progress
from .steps import RETRIED, cached

__all__ = ["BASE", "CANDIDATE", "CHAMPION", "answer_suites", "scored_by"]


@task(**cached("benchmark", version=3), **RETRIED)
def answer_suites(
    site: Site,
    candidate: Artifact,
    champion: Champion | None,
    suites: dict[str, str],
    prompts: str,
    engine: str,
    scoring: dict[str, Any],
    ledger: Artifact | None = None,
) -> Results:
    """Answers of each model to each suite and to the ledger, scored; `engine` is the fingerprint of base and engine.

    `scoring` names the models, teachers and templates that scorers ask.
    """
    loop, store = load_loop(site.loop), ArtifactStore(site.artifacts)
    loop.suites |= suites_of(site, loop.name, ledger)
    adapters = {CHAMPION: Adapter.at(Path(champion.folder))} if champion is not None else {}
    adapters[CANDIDATE] = Adapter.at(store.fetch_folder(candidate))
    base = ModelStore().get(loop.model_ref(loop.settings.model))
    measured = measure(Contest(loop, base, adapters, loop.suites), site.cache, resolve_block, progress)
    return Results(
        suites={name: _stored(store, loop.suites[name], by_model) for name, by_model in measured.answered.items()},
        calls=measured.calls,
        reused=measured.reused,
        seconds=measured.seconds,
        reviewed=measured.reviewed,
    )


def scored_by(loop: Loop) -> dict[str, Any]:
    """Names what the scores of the loop's suites depend on; raises for what is not there."""
    return scoring_identity(loop, resolve_block)


def _stored(store: ArtifactStore, suite: Suite, by_model: Mapping[str, Answered]) -> SuiteAnswers:
    return SuiteAnswers(
        scores={model: store.write_json(list(answers.values)) for model, answers in by_model.items()},
        tables={model: store.write_json(answers.table(suite)) for model, answers in by_model.items()},
        means={model: answers.mean for model, answers in by_model.items()},
        n=len(suite.items),
        breakdowns={model: breakdown(suite, answers) for model, answers in by_model.items()},
        notes=tuple(dict.fromkeys(note for answers in by_model.values() for note in answers.notes)),
        measured_by=suite.measured_by,
        digest=suite.digest,
    )
