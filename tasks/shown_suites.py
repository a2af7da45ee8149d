"""What a round's benchmark leaves in MLflow: answers, tables by label, slice and difficulty, metrics, pictures."""

import re
from collections.abc import Mapping
from typing import Any

from ..blocks.tracking import Tracking
from ..core.artifacts import ArtifactStore
from ..core.evaluation.breakdown import Breakdown
from ..core.evaluation.measuring import CANDIDATE
from ..core.evaluation.picture import draw_calibration, draw_confusion
from ..core.rounds import Results

MOST_PARTS = 100  # of a suite that become metrics


def log_suites(tracking: Tracking, run_id: str, results: Results, store: ArtifactStore) -> None:
    """Write tables and pictures under `answers/` and `suites/`, with the same names in each round.

    So the page that compares runs puts the pictures of one suite beside each other.
    """
    for name, suite in results.suites.items():
        rows = store.read_json(suite.tables[CANDIDATE])
        tracking.log_table(
            run_id, rows, list(dict.fromkeys(key for row in rows for key in row)), f"answers/{name}.json"
        )
        if parts := part_rows(suite.breakdowns):
            tracking.log_table(run_id, parts, list(parts[0]), f"suites/{name}.json")
        found = suite.breakdowns.get(CANDIDATE)
        if found is not None and found.confusion is not None:
            picture = draw_confusion(found.confusion, f"{name}: the candidate's answers")
            tracking.log_text(run_id, picture, f"suites/{name}-confusion.svg")
        if found is not None and found.calibration is not None:
            picture = draw_calibration(found.calibration, f"{name}: how sure the candidate is")
            tracking.log_text(run_id, picture, f"suites/{name}-calibration.svg")
        if suite.notes:
            tracking.log_text(run_id, "\n".join(suite.notes) + "\n", f"suites/{name}-notes.txt")


def part_rows(breakdowns: Mapping[str, Breakdown]) -> list[dict[str, Any]]:
    """A row for each label, slice and difficulty, with the mean of every model and the candidate's interval."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, one in breakdowns.items():
        for part in one.parts:
            row = found.setdefault((part.by, part.name), {"by": part.by, "name": part.name, "n": part.n})
            row[model] = part.mean
            if model == CANDIDATE:
                row |= {"low": part.low, "high": part.high}
    columns = dict.fromkeys(key for row in found.values() for key in row)
    return [{key: row.get(key) for key in columns} for row in found.values()]


def suite_metrics(results: Results) -> dict[str, float]:
    """The candidate's mean on every part, and its calibration error, as metrics."""
    told: dict[str, float] = {}
    for name, suite in results.suites.items():
        found = suite.breakdowns.get(CANDIDATE, Breakdown(parts=()))
        for part in found.parts[:MOST_PARTS]:
            if part.mean is not None:
                told[re.sub(r"[^\w\-./ ]", "_", f"{name}.{part.by}.{part.name}")] = part.mean
        if found.calibration is not None:
            told[f"{name}.calibration_error"] = found.calibration.error
    told |= {f"benchmark.judges.{name}": float(value) for name, value in results.reviewed.model_dump().items() if value}
    return told
