"""People's review of a round: the sheet goes out, decisions come in, and the samples are as they decided."""

import time
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from ..core.artifacts import Artifact, ArtifactStore
from ..core.loops import Loop, load_loop
from ..core.people.deciding import REASON, PeopleReviewed, decide_samples
from ..core.people.desk import Asked, Decision, Desk, Taken, as_rows, known_before, shown_rows
from ..core.people.settings import PeopleReview
from ..core.pool.sheet import pick, sheet_rows, write_sheet
from ..core.quality.funnel import FilterCount
from ..core.rounds import ReviewedSamples, Round, Sifted, Site, StepTime
from ..core.steps import Step
from .sift import examples_of
from .steps import RETRIED, Steps, cached, recorded
from .waiting import how_to_answer, wait_for_people

STEP: Step = "review"


def reviewed_by_people(steps: Steps, round_: Round, loop: Loop, sifted: Sifted) -> Sifted:
    """`sifted` as people decided about it: from what they said before, or when they have said it.

    Raises UserError when the wait ends and the loop says `on_timeout: reject`.
    """
    settings, site = loop.settings.review, round_.site
    desk = Desk(site.home / "reviews" / loop.name / f"{round_.id}-{sifted.kept.digest[:8]}")
    if steps.from_here(STEP):
        desk.reopen()
    lay_sheet(site=site, round_=round_, desk=str(desk.folder), kept=sifted.kept, review=settings)
    taken = desk.taken()
    if taken is None:
        taken = _taken(desk, settings, loop, round_)
        steps.times["people"] = StepTime(seconds=taken.seconds, cache="miss")
    done: ReviewedSamples = steps.run(
        decide_rows,
        kept=sifted.kept,
        dropped=sifted.dropped,
        decisions=taken.decisions,
        mode=settings.mode,
        asked=len(_asked(desk).rows),
        seeds=loop.material.seeds_digest,
        prompts=loop.material.prompt_digest,
    )
    told = {"sheet": str(desk.sheet), "ended": taken.ended, "seconds": taken.seconds}
    return sifted.model_copy(
        update={
            "kept": done.kept,
            "dropped": done.dropped,
            "counts": (*sifted.counts, *_counted(sifted, done.people)),
            "examples": sifted.examples | done.examples,
            "people": done.people.model_copy(update=told),
        }
    )


@task(**recorded("lay out the sheet"), **RETRIED)
def lay_sheet(site: Site, round_: Round, desk: str, kept: Artifact, review: PeopleReview) -> None:
    """Choose rows of `kept` and write them for people, as files and on the page. A sheet that is there stays."""
    place = Desk(Path(desk))
    if (asked := place.asked()) is None:
        samples = {sample.id: sample for sample in ArtifactStore(site.artifacts).samples(kept)}
        chosen = pick(samples.values(), review.rows, review.by, round_.seed)
        asked = Asked(
            round=round_.id,
            digest=kept.digest,
            kept=kept.rows,
            labels=tuple(load_loop(site.loop, excluded=round_.excluded).labels),
            rows=shown_rows(sheet_rows(chosen, samples, review.by)),
        )
        if earlier := known_before(site.home, round_.loop, asked.ids):
            place.give(earlier)
        for name in ("sheet.csv", "sheet.jsonl"):
            write_sheet(place.folder / name, as_rows(asked))
        place.lay(asked)
    place.touch()
    key = round_.loop.lower().replace("_", "-")
    create_table_artifact(as_rows(asked), key=f"{key}-review", description="Rows for people to decide on")
    note = f"# {len(asked.rows)} rows of round `{round_.id}` for people\n\n{how_to_answer(place, site, review)}"
    create_markdown_artifact(note, key=f"{key}-review-note", description=f"{round_.loop}: how to review")


@task(**cached(STEP, version=1), **RETRIED)
def decide_rows(
    site: Site,
    kept: Artifact,
    dropped: Artifact,
    decisions: tuple[Decision, ...],
    mode: str,
    asked: int,
    seeds: str,
    prompts: str,
) -> ReviewedSamples:
    """Rejected rows go from `kept` to `dropped`, corrected ones take the place of theirs."""
    store = ArtifactStore(site.artifacts)
    settled = decide_samples(store.samples(kept), decisions, load_loop(site.loop).present, mode, asked)
    return ReviewedSamples(
        kept=store.write_samples(settled.kept),
        dropped=store.write_samples([*store.samples(dropped), *settled.dropped]),
        examples=examples_of(settled.dropped),
        people=settled.reviewed,
    )


def _taken(desk: Desk, settings: PeopleReview, loop: Loop, round_: Round) -> Taken:
    started = time.monotonic()
    ended = "offered"
    if settings.mode == "required":
        ended = wait_for_people(desk, settings, loop, round_.site)
    return desk.take(ended, time.monotonic() - started)


def _asked(desk: Desk) -> Asked:
    asked = desk.asked()
    assert asked is not None  # it was laid just now
    return asked


def _counted(sifted: Sifted, people: PeopleReviewed) -> list[FilterCount]:
    """What people dropped, as a filter of the funnel tells it; nothing where they dropped nothing."""
    dropped = len(people.rejected)
    if not dropped:
        return []
    rows = sifted.kept.rows
    return [FilterCount(filter=STEP, rows_in=rows, rows_out=rows - dropped, dropped={REASON: dropped}, seconds=0.0)]
