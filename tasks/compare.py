"""What a round's benchmark says beside champion and base, in MLflow: metrics, tables, one picture of all suites."""

from typing import Any

from prefect import task

from ..blocks.tracking import Tracking
from ..core.artifacts import ArtifactStore
from ..core.evaluation.flips import COLUMNS as FLIP_COLUMNS
from ..core.evaluation.flips import flip_rows, flips
from ..core.evaluation.forest import draw_forest
from ..core.evaluation.gate import Decision, SuiteFigures
from ..core.evaluation.parts import COLUMNS as SLICE_COLUMNS
from ..core.evaluation.parts import slice_rows
from ..core.reporting.suites import BENCHMARK_PICTURE
from ..core.rounds import Results, Round, Site
from .benchmark import BASE, CANDIDATE, CHAMPION
from .steps import RETRIED, recorded

COLUMNS = [
    "suite", "role", "items", "unscored", "base", "champion", "candidate", "delta", "ci_low", "ci_high", "p_value",
    "alpha", "min_detectable", "needed", "margin", "damage_bound", "fixed", "broken", "outcome",
]  # fmt: skip


@task(**recorded("compare"), **RETRIED)
def show_comparison(site: Site, round_: Round, results: Results, decision: Decision) -> dict[str, dict[str, Any]]:
    """Log the comparison to the round's run; the flips of each suite, as the report holds them.

    Names and columns are the same in every round, so that MLflow's page of several runs lays them side by side.
    """
    store, tracking = ArtifactStore(site.artifacts), Tracking(round_.loop, site.home)
    told: dict[str, dict[str, Any]] = {}
    for name, answers in results.suites.items():
        tables = {model: store.read_json(artifact) for model, artifact in answers.tables.items()}
        rivals = [model for model in (CHAMPION, BASE) if model in tables]
        told[name] = flips(rivals[0], tables[rivals[0]], tables[CANDIDATE]).summary
        rows = [row for rival in rivals for row in flip_rows(rival, tables[rival], tables[CANDIDATE])]
        tracking.log_table(round_.run_id, rows, FLIP_COLUMNS, f"flips/{name}.json")
        judged = decision.figures[name].slices if name in decision.figures else {}
        if slices := slice_rows(tables, judged):
            tracking.log_table(round_.run_id, slices, SLICE_COLUMNS, f"slices/{name}.json")
    if decision.figures:
        tracking.log(round_.run_id, metrics=comparison_metrics(decision.figures))
        tracking.log_table(round_.run_id, suite_rows(decision.figures), COLUMNS, "suites.json")
        title = f"{round_.loop}, round {round_.id}: {decision.verdict}"
        tracking.log_text(round_.run_id, draw_forest(decision.figures, title), BENCHMARK_PICTURE)
    return told


def comparison_metrics(figures: dict[str, SuiteFigures]) -> dict[str, float]:
    """The figures of each suite as metrics; what was not measured is none."""
    found: dict[str, float | None] = {}
    for name, one in figures.items():
        low, high = one.ci or (None, None)
        found |= {
            f"{name}.delta": one.delta,
            f"{name}.ci_low": low,
            f"{name}.ci_high": high,
            f"{name}.p_value": one.p_value if one.n else None,
            f"{name}.min_detectable": one.min_detectable if one.n else None,
            f"{name}.wins": one.wins,
            f"{name}.losses": one.losses,
        }
    return {name: float(value) for name, value in found.items() if value is not None}


def suite_rows(figures: dict[str, SuiteFigures]) -> list[dict[str, Any]]:
    """A row under COLUMNS for each suite; what was not measured is null."""
    rows = []
    for name, one in figures.items():
        low, high = one.ci or (None, None)
        told = one.model_dump(mode="json", include={*COLUMNS})
        rows.append(told | {"suite": name, "items": one.n, "ci_low": low, "ci_high": high} | _measured(one))
    return rows


def _measured(one: SuiteFigures) -> dict[str, Any]:
    known = {"fixed": one.wins, "broken": one.losses, "p_value": one.p_value, "min_detectable": one.min_detectable}
    return known if one.n else dict.fromkeys(known)
