"""The end of a round: what was found goes into MLflow, the registry and the Prefect page."""

import re
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from ..blocks.prompts import register_prompt
from ..blocks.tracking import Tracking
from ..core.artifacts import ArtifactStore
from ..core.evaluation.gate import Decision
from ..core.loops import load_loop
from ..core.quality.batch.findings import BatchReport
from ..core.quality.batch.picture import Plot, draw
from ..core.quality.verdicts import DUPLICATE_OF
from ..core.registry.fingerprint import Fingerprint
from ..core.registry.moves import Moved
from ..core.report import BATCH_PICTURE, LOSS_PICTURE, as_markdown, funnel_rows
from ..core.reporting.suites import MORE_COLUMNS, SUITE_COLUMNS, whole_rows
from ..core.rounds import (
    Champion,
    Generated,
    Replayed,
    Report,
    Results,
    Round,
    Sifted,
    Site,
    TrainedAdapter,
    teacher_summary,
)
from ..core.training.control.picture import draw as draw_training
from ..core.training.control.worth import Expectation
from .live import LOSS, VALIDATION
from .promote import promote
from .shown_suites import log_suites, suite_metrics
from .sift import REMARKS
from .steps import RETRIED, recorded


@task(**recorded("record"), **RETRIED)
def record_round(
    site: Site,
    round_: Round,
    waves: tuple[Generated, ...],
    sifted: Sifted,
    replayed: Replayed | None,
    trained: TrainedAdapter | Expectation,
    results: Results,
) -> None:
    """Write parameters, figures, the loss curve, samples and answers of the round to its MLflow run."""
    training = trained.training if isinstance(trained, TrainedAdapter) else None
    loop = load_loop(site.loop, round_.micro, round_.excluded)
    store, tracking = ArtifactStore(site.artifacts), Tracking(round_.loop, site.home)
    tables = {"kept": sifted.kept, "dropped": sifted.dropped} | ({"replayed": replayed.samples} if replayed else {})
    tracking.log(
        round_.run_id,
        params=loop.settings.model_dump(mode="json")
        | {"seed": round_.seed, "samples": round_.samples, "loop_digest": loop.digest},
        metrics={
            "generate.rows": sum(wave.samples.rows for wave in waves),
            "generate.waves": len(waves),
        }
        | {f"teacher.{name}": float(value) for name, value in teacher_summary(waves).items()}
        | {
            "filter.kept": sifted.kept.rows,
            "filter.dropped": sifted.dropped.rows,
            "filter.seconds": sifted.seconds,
            "replay.samples": replayed.samples.rows if replayed else 0,
            **{
                f"filter.{count.filter}.{name}": figure
                for count in sifted.counts
                for name, figure in count.figures.items()
            },
            **{f"review.{name}": float(value) for name, value in sifted.reviewed.model_dump().items() if value},
            **people_metrics(sifted),
            **(batch_metrics(sifted.batch.report) if sifted.batch else {}),
            **training_metrics(trained),
            **focus_metrics(trained),
            "benchmark.seconds": results.seconds,
        }
        | {
            f"{suite}.{model}": mean
            for suite, answers in results.suites.items()
            for model, mean in answers.means.items()
            if mean is not None
        }
        | suite_metrics(results),
        curve={LOSS: dict(enumerate(training.losses, start=1)), VALIDATION: dict(training.validation)}
        if training is not None
        else None,
        tags={
            "wheelwork.data": sifted.kept.digest,
            "wheelwork.pool": round_.pool or "",
            "wheelwork.adapter": trained.digest if isinstance(trained, TrainedAdapter) else "",
            "wheelwork.acknowledged": "; ".join(f"{fit.kind}: {reason}" for fit, reason in loop.acknowledged),
            "wheelwork.prompts": ", ".join(t.digest for t in loop.writing().templates.values()),
        },
    )
    for name, artifact in tables.items():
        rows = [
            {
                "label": sample.label or "",
                "text": sample.prompt,
                "reason": sample.reject_reason or "",
                **({DUPLICATE_OF: sample.controls[DUPLICATE_OF]} if DUPLICATE_OF in sample.controls else {}),
                **({"review": sample.controls[REMARKS]} if REMARKS in sample.controls else {}),
                **{score: round(value, 4) for score, value in sample.scores.items()},
            }
            for sample in store.samples(artifact)
        ]
        tracking.log_table(round_.run_id, rows, _columns(rows, "label", "text", "reason"), f"samples/{name}.json")
    log_suites(tracking, round_.run_id, results, store)
    writing = loop.writing()
    for template in (*writing.templates.values(), writing.answer, *loop.review_templates.values()):
        register_prompt(round_.loop, template, round_.run_id)
    if training is not None:
        title = f"{round_.loop}, round {round_.id}: the training"
        tracking.log_text(round_.run_id, draw_training(training, title), LOSS_PICTURE)
    if sifted.batch is not None:
        plot = Plot.model_validate(store.read_json(sifted.batch.plot))
        title = f"{round_.loop}, round {round_.id}: {plot.kept:,} kept beside {plot.reference:,} seeds"
        tracking.log_text(round_.run_id, draw(plot, title), BATCH_PICTURE)


def adapter_of(
    site: Site,
    round_: Round,
    sifted: Sifted,
    candidate: TrainedAdapter | Expectation,
    decision: Decision,
    rival: Champion | None,
    measured: Fingerprint,
) -> tuple[dict[str, str], Moved | None]:
    """Version, digest and place of the candidate, which is registered; of the champion where nothing was trained.

    Beside it what became of the aliases; None where no verdict asked for anything.
    """
    if isinstance(candidate, Expectation):
        stays = round_.champion
        told = {"version": stays.version, "digest": stays.digest, "path": str(stays.folder)} if stays else {}
        return told, None
    moved = promote(
        site=site, round_=round_, sifted=sifted, trained=candidate, decision=decision, rival=rival, measured=measured
    )
    return {"version": str(moved.version), "digest": candidate.digest, "path": candidate.adapter.uri}, moved


@task(**recorded("publish"), **RETRIED)
def publish(site: Site, run_id: str, report: Report) -> None:
    """Close the MLflow run with the report, and show it on the Prefect page."""
    tracking = Tracking(report.loop, site.home)
    text = as_markdown(report)
    tracking.log(
        run_id,
        metrics={f"time.{name}": seconds for name, seconds in report.timings.items()},
        tags={"wheelwork.verdict": report.verdict},
    )
    tracking.log_text(run_id, text, "report.md")
    tracking.log_text(run_id, report.model_dump_json(indent=2), "report.json")
    tracking.end_run(run_id)
    key = report.loop.lower().replace("_", "-")
    create_markdown_artifact(text, key=f"{key}-verdict", description=f"{report.loop}: {report.verdict}")
    create_table_artifact(
        [dict(zip([*SUITE_COLUMNS, *MORE_COLUMNS], row, strict=True)) for row in whole_rows(report)],
        key=f"{key}-suites",
        description="Scores by suite and model",
    )
    create_table_artifact(
        [dict(zip(("step", "samples", "share"), row, strict=True)) for row in funnel_rows(report)],
        key=f"{key}-funnel",
        description="What the funnel kept, and why the rest went",
    )
    create_link_artifact(report.mlflow["url"], link_text="The round in MLflow", key=f"{key}-mlflow")


def focus_metrics(trained: TrainedAdapter | Expectation) -> dict[str, float]:
    """How samples were weighted, chosen and ordered, as metrics; nothing where nothing was asked for."""
    focus = trained.training.focus if isinstance(trained, TrainedAdapter) else None
    return {f"train.focus.{name}": value for name, value in focus.metrics.items()} if focus else {}


def training_metrics(trained: TrainedAdapter | Expectation) -> dict[str, float]:
    """What the training did, or what was expected of one that was left out."""
    if isinstance(trained, Expectation):
        told = trained.model_dump(exclude={"reason"})
        return {f"expect.{name}": float(value) for name, value in told.items()}
    training = trained.training
    return {
        "train.samples": training.samples,
        "train.tokens_per_second": training.tokens_per_second,
        "train.seconds": training.seconds,
        "train.step": float(training.step or len(training.losses)),
    }


def people_metrics(sifted: Sifted) -> dict[str, float]:
    """What people decided before the round trained, as metrics; nothing where nobody was asked."""
    if (people := sifted.people) is None:
        return {}
    told = people.summary()
    found = {name: float(told[name]) for name in ("asked", "decided", "accepted", "rejected", "corrected")}
    if people.judge is not None:
        figures = {"share": people.judge.share, "kappa": people.judge.kappa, "alpha": people.judge.alpha}
        found |= {f"judge_{name}": value for name, value in figures.items() if value is not None}
    return {f"people.{name}": value for name, value in found.items()}


def batch_metrics(batch: BatchReport) -> dict[str, float]:
    """What was measured on the batch, under names that MLflow takes, and how many findings warn or are unknown."""
    told = {"batch.warnings": float(len(batch.of("warn"))), "batch.unknown": float(len(batch.of("unknown")))}
    for finding in batch.findings:
        if finding.value is not None:
            told[re.sub(r"[^\w\-./ ]", "_", f"batch.{finding.check}.{finding.of}")] = finding.value
    return told


def _columns(rows: list[dict[str, Any]], *first: str) -> list[str]:
    """`first`, then every other column that a row has, in the order of appearance."""
    return list(dict.fromkeys([*first, *(column for row in rows for column in row)]))
