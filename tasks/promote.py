"""The verdict reaches the registry: the candidate is registered, and becomes champion if its verdict still holds."""

from typing import Any

from prefect import task
from prefect.context import FlowRunContext

from ..blocks.registry import ROUND, ModelRegistry, moves_of
from ..core.artifacts import ArtifactStore
from ..core.evaluation.gate import Decision, SuiteFigures
from ..core.registry.fingerprint import Fingerprint
from ..core.registry.journal import Figures
from ..core.registry.moves import Judged, Moved
from ..core.rounds import Champion, Round, Sifted, Site, TrainedAdapter
from .events import announce
from .steps import RETRIED, recorded


@task(**recorded("promote"), **RETRIED)
def promote(
    site: Site,
    round_: Round,
    sifted: Sifted,
    trained: TrainedAdapter,
    decision: Decision,
    rival: Champion | None,
    measured: Fingerprint,
) -> Moved:
    """Register the candidate and move the aliases as the verdict against `rival` says. Twice is as once.

    `measured` is what answered as the candidate; of the rival that stays it is written down likewise.
    """
    registry, moves = ModelRegistry(round_.loop), moves_of(round_.loop, site.home, present_run())
    version = registry.register(
        round_.run_id,
        ArtifactStore(site.artifacts).fetch_folder(trained.adapter),
        trained.digest,
        {"base_digest": measured.base, "data_digest": sifted.kept.digest, ROUND: round_.id},
    )
    announce("candidate.registered", site, round_.loop, f"{version} {trained.digest}", version=version, round=round_.id)
    moved = moves.judge(
        Judged(
            version=version,
            adapter=trained.digest,
            against=rival.version if rival else None,
            verdict=decision.verdict,
            figures=key_figures(decision),
            reason="; ".join(decision.reasons),
            round=round_.id,
            run=round_.run_id,
            fingerprint=measured,
        )
    )
    if rival is not None and moved.champion == rival.version:
        again = measured.model_copy(update={"adapter": rival.digest})
        moves.measured(rival.version, again, round_.id, round_.run_id)
    return moved


def settled(decision: Decision, moved: Moved | None) -> Decision:
    """The decision as it holds now: one that came too late says nothing against the champion that there is."""
    if moved is None or moved.status != "refused":
        return decision
    return decision.model_copy(update={"verdict": "inconclusive", "reasons": (moved.note, *decision.reasons)})


def registry_part(moved: Moved | None, measured: Fingerprint, changed: tuple[str, ...]) -> dict[str, Any]:
    """What the report says of the registry; `changed` is what differs at the champion since it was measured before."""
    told: dict[str, Any] = {"fingerprint": measured.digest, "parts": measured.model_dump()}
    if moved is None:  # nothing was measured
        return told
    about = moved.model_dump(include={"status", "champion", "before", "note", "entry"})
    return told | about | {"changed": list(changed)}


def key_figures(decision: Decision) -> Figures:
    """Of each suite what the journal tells: how many items, the scores compared, the change with its interval, p."""
    return {name: _figures(figures) for name, figures in decision.figures.items()}


def present_run() -> str:
    """Name and id of the flow run that this is done in; empty outside of one."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return f"{run.name} ({run.id})" if run else ""


def _figures(suite: SuiteFigures) -> dict[str, float | None]:
    low, high = suite.ci or (None, None)
    return {
        "n": suite.n,
        "base": suite.base,
        "champion": suite.champion,
        "candidate": suite.candidate,
        "delta": suite.delta,
        "low": low,
        "high": high,
        "p_value": suite.p_value,
    }
