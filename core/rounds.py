"""What the steps of a round hand to each other: references and figures, never rows or models."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from .artifacts import Artifact
from .evaluation.breakdown import Breakdown
from .evaluation.gate import Decision, SuiteFigures
from .evaluation.holdouts.leaks import Looked
from .ledger.told import LedgerAt, LedgerTold
from .micro import MicroRound
from .people.deciding import PeopleReviewed
from .pool.log import Line
from .quality.batch.findings import BatchReport
from .quality.funnel import ASKING, FilterCount
from .quality.review.opening import Reviewed
from .registry.champion import Champion as Champion  # steps hand it on with the rest
from .settings import Setting
from .training.control.worth import Expectation
from .training.trained import Trained


class Site(Setting):
    """Where a round works: its loop's folder and the state folder. Never a part of what identifies a result."""

    loop: Path
    home: Path

    @property
    def artifacts(self) -> str:
        return str(self.home / "artifacts")

    @property
    def cache(self) -> Path:
        return self.home / "cache"


class Round(Setting):
    """One turn of a loop, as it was opened: everything that its steps depend on."""

    site: Site
    loop: str
    id: str  # names loop content and seed: the same round run twice has the same id
    seed: int
    samples: int
    champion: Champion | None
    run_id: str
    pool: str | None  # the version of the pool that is replayed from; None: there was none
    excluded: tuple[str, ...]  # ids that people keep out
    follows: str | None = None  # digest of the attribution that the plan reads; None: it follows none
    ledger: LedgerAt = LedgerAt()  # as the round was opened with it
    micro: MicroRound | None = None  # what it changes of the loop's settings; None: nothing, it is a whole round


class Generated(Setting):
    """One wave of candidates as the teacher wrote them, and what could not be read or was not asked."""

    samples: Artifact  # a row for each sample that was asked for; those that were not made have a reject_reason
    refused: dict[str, int]  # how many were not made, by reason
    calls: int
    reused: int
    prompt_tokens: int
    completion_tokens: int
    cost: float  # in the currency of the teacher's prices; 0 without prices
    seconds: float
    teacher: str


class Rehearsed(Setting):
    """The base's answers to the loop's general prompts."""

    samples: Artifact
    seconds: float


class Checked(Setting):
    """What was found on all that the funnel kept together, and what is trained on then."""

    kept: Artifact
    dropped: Artifact
    counts: tuple[FilterCount, ...]  # of what was dropped here
    report: BatchReport
    plot: Artifact  # JSON: what the picture is drawn from


class Sifted(Setting):
    """What the funnel kept, and beside it what it dropped, with reasons."""

    kept: Artifact
    dropped: Artifact
    counts: tuple[FilterCount, ...]
    cells: dict[str, int]  # kept samples by cell of the plan
    examples: dict[str, tuple[str, ...]]  # reason → a few texts
    seconds: float
    reviewed: Reviewed = Reviewed()
    embeddings: Artifact | None = None  # of seeds and kept, as far as filters made them
    people: PeopleReviewed | None = None  # None where nobody was asked
    batch: Checked | None = None


class Corrections(Setting):
    """What a micro-round learns, and which entries of the pool it is."""

    sifted: Sifted
    ids: tuple[str, ...]  # as the pool knows them, those too that do not fit any more


class ReviewedSamples(Setting):
    """What people's review left of what the funnel kept."""

    kept: Artifact
    dropped: Artifact
    examples: dict[str, tuple[str, ...]]
    people: PeopleReviewed


class Replayed(Setting):
    """Samples of earlier rounds that are trained on again."""

    samples: Artifact
    ids: tuple[str, ...]  # as the pool knows them
    passed_over: dict[str, int]  # how many of those looked at do not fit any more, by reason
    seconds: float


class TrainedAdapter(Setting):
    """A new adapter and how it was trained."""

    adapter: Artifact
    digest: str
    training: Trained


class SuiteAnswers(Setting):
    """Means and answer tables of one suite, by model: base, champion (when there is one), candidate."""

    scores: dict[str, Artifact]  # model → JSON list of scores, in the order of the items
    tables: dict[str, Artifact]  # model → JSON table for people
    means: dict[str, float | None]
    n: int
    breakdowns: dict[str, Breakdown] = Field({})  # model → by label, slice, difficulty; confusion; calibration
    notes: tuple[str, ...] = ()  # what people should know of the scores
    measured_by: str = "serving engine"  # or the training stack, for log-likelihoods
    digest: str = ""  # of the suite that was answered


class Results(Setting):
    """The benchmark of a round."""

    suites: dict[str, SuiteAnswers]
    calls: int
    reused: int
    seconds: float
    reviewed: Reviewed = Reviewed()  # what judges of replies did and cost


class Attributed(Setting):
    """Where and why the candidate fails."""

    attribution: Artifact  # JSON
    seconds: float


class Measurement(Setting):
    """The scores of one version by suite, measured outside of a round."""

    loop: str
    version: str  # or `base`
    scores: dict[str, float]
    unscored: tuple[str, ...]  # suites of which no item could be scored
    calls: int
    reused: int
    seconds: float


class StepTime(Setting):
    """How long a step took, and whether its result was there already."""

    seconds: float
    cache: Literal["hit", "miss"]


class Report(Setting):
    """The outcome of a round; `--report` writes it as JSON, the terminal and the pages show it."""

    loop: str
    round: str
    seed: int
    verdict: Literal["promoted", "rejected", "inconclusive"]
    reasons: tuple[str, ...]
    funnel: dict[str, Any]
    teacher: dict[str, Any]
    train: dict[str, Any]
    suites: dict[str, dict[str, Any]]
    timings: dict[str, float]
    cache: dict[str, str]
    adapter: dict[str, str]
    mlflow: dict[str, str]
    gate: dict[str, Any]
    replay: dict[str, Any]
    pool: dict[str, Any]
    review: dict[str, Any] = Field({})  # empty where nobody was asked
    batch: BatchReport | None = None
    attribution: dict[str, Any] = Field({})  # empty where nothing was measured
    ledger: LedgerTold = LedgerTold()
    holdouts: Looked | None = None  # what was compared with the suites before training
    registry: dict[str, Any] = Field({})  # what became of the aliases, and what was measured


def funnel_summary(waves: Sequence[Generated], sifted: Sifted) -> dict[str, Any]:
    """Rows asked for and kept, and drops by reason: what no reply held, and what the filters threw away.

    What filters measured and remarked, and, where judges or verifiers were asked, what these did and cost.
    """
    dropped = Counter[str]()
    for reasons in (*(wave.refused for wave in waves), *(count.dropped for count in sifted.counts)):
        dropped.update(reasons)
    asked = sum(wave.samples.rows for wave in waves)
    summary = {"generated": asked, "kept": sifted.kept.rows, "dropped": dict(dropped), "waves": len(waves)}
    figures = {count.filter: count.figures for count in sifted.counts if count.figures}
    if figures:
        summary |= {"figures": figures}
    if notes := [note for count in sifted.counts for note in count.notes]:
        summary |= {"notes": notes}
    if any(count.filter in ASKING for count in sifted.counts):
        summary |= {"reviewed": sifted.reviewed.model_dump(mode="json")}
    return summary


def teacher_summary(waves: Sequence[Generated]) -> dict[str, Any]:
    """What the teacher did and cost in this round; replies that were there already cost nothing."""
    return {
        "calls": sum(wave.calls for wave in waves),
        "reused": sum(wave.reused for wave in waves),
        "prompt_tokens": sum(wave.prompt_tokens for wave in waves),
        "completion_tokens": sum(wave.completion_tokens for wave in waves),
        "cost": sum(wave.cost for wave in waves),
        "seconds": sum(wave.seconds for wave in waves),
    }


def replay_summary(round_: Round, replayed: Replayed | None) -> dict[str, Any]:
    """How many samples of which version of the pool were trained on again, and why others were not."""
    drawn = replayed.samples.rows if replayed else 0
    return {"version": round_.pool, "samples": drawn, "passed_over": replayed.passed_over if replayed else {}}


def suite_summary(figures: SuiteFigures) -> dict[str, Any]:
    """The figures of one suite under the names of the report's contract."""
    return figures.model_dump(
        mode="json",
        include={
            "role", "n", "base", "champion", "candidate", "delta", "ci", "p_value", "min_detectable", "outcome",
            "sentence", "needed", "wins", "losses", "unscored", "margin", "damage_bound", "floor", "slices",
        },
    )  # fmt: skip


def build_report(
    round_: Round,
    waves: Sequence[Generated],
    sifted: Sifted,
    replayed: Replayed | None,
    trained: TrainedAdapter | Expectation,
    decision: Decision,
    steps: dict[str, StepTime],
    *,
    pool: Line,
    flips: Mapping[str, dict[str, Any]],
    attribution: dict[str, Any],
    adapter: dict[str, str],
    registry: dict[str, Any],
    mlflow: dict[str, str],
    ledger: LedgerTold,
    holdouts: Looked,
    recording: float,
    total: float,
) -> Report:
    """Put the parts of a round together; `total` is the seconds since the process began."""
    return Report(
        loop=round_.loop,
        round=round_.id,
        seed=round_.seed,
        verdict=decision.verdict,
        reasons=decision.reasons,
        funnel=funnel_summary(waves, sifted),
        teacher=teacher_summary(waves),
        train=train_summary(trained),
        suites={
            name: suite_summary(figures) | ({"flips": flips[name]} if name in flips else {})
            for name, figures in decision.figures.items()
        },
        timings=_timings(steps, recording, total),
        cache={name: step.cache for name, step in steps.items()},
        adapter=adapter,
        mlflow=mlflow,
        gate={"alpha": decision.alpha, "look": decision.look, "notes": list(decision.notes)},
        replay=replay_summary(round_, replayed),
        pool=pool.model_dump(include={"version", "accepted", "marked", "excluded"}),
        review=sifted.people.summary() if sifted.people else {},
        batch=sifted.batch.report if sifted.batch else None,
        attribution=attribution,
        ledger=ledger,
        holdouts=holdouts,
        registry=registry,
    )


def train_summary(trained: TrainedAdapter | Expectation) -> dict[str, Any]:
    """Size and speed of a training, and how it ended: the steps, the one that the adapter is of, what else is said.

    Of a round that did not train, what was looked at before.
    """
    if isinstance(trained, Expectation):
        return {"samples": 0, "expected": trained.model_dump(mode="json")}
    training = trained.training
    figures = {"samples", "tokens", "seconds", "tokens_per_second", "final_loss"}
    told = training.model_dump(mode="json", include=figures | {"hardware", "notes"})
    told |= {"steps": len(training.losses), "step": training.step or len(training.losses)}
    if training.stopped:
        told["stopped"] = training.stopped
    measured = dict(training.validation)
    if training.step in measured:
        told["validation_loss"] = measured[training.step]
    if training.focus:
        told["focus"] = training.focus.model_dump(mode="json")
    return told


def _timings(steps: dict[str, StepTime], recording: float, total: float) -> dict[str, float]:
    """Seconds by step; `start` is what was spent before the first one: imports, Prefect, opening the round."""
    known = {name: step.seconds for name, step in steps.items()} | {"record": recording}
    return {"start": total - sum(known.values()), **known, "total": total}
