"""Say why the candidate failed where it failed, and remember what each round found and read."""

import time
from collections.abc import Mapping

from prefect import task

from ..blocks.tracking import Tracking
from ..core.artifacts import Artifact, ArtifactStore
from ..core.attribution.attributing import Attributing
from ..core.attribution.findings import Attribution
from ..core.attribution.following import categories_asked, cells_asked
from ..core.attribution.ground import Ground, dropped_of, learnt_of
from ..core.attribution.journal import Journal
from ..core.attribution.telling import COLUMNS, table_rows
from ..core.generation.following import followed_mix
from ..core.generation.planning import Cell
from ..core.loops import Loop, load_loop
from ..core.pool.sheet import write_sheet
from ..core.quality.batch.remembered import Remembered
from ..core.rounds import Attributed, Replayed, Results, Round, Sifted, Site
from ..core.workspace import scratch_in
from .ledger import suites_of
from .sift import load_encoder
from .steps import RETRIED, Steps, cached, recorded


@task(**cached("attribute", version=1), **RETRIED)
def attribute_failures(
    site: Site,
    tables: dict[str, dict[str, Artifact]],
    kept: Artifact,
    dropped: Artifact,
    replayed: Artifact | None,
    embeddings: Artifact | None,
    attributing: Attributing,
    left_out: tuple[str, ...],
    seeds: str,
    suites: dict[str, str],
    prompts: str,
    encoder: str,
    ledger: Artifact | None = None,
) -> Attributed:
    """Group the items that the candidate fails, with causes and remedies; `tables` are answers by suite and model.

    `seeds`, `suites`, `prompts` and `encoder` are digests of what is read besides. The encoder is loaded only if an
    item failed, and embeds again only what the funnel did not.
    """
    loop, store = load_loop(site.loop, excluded=left_out), ArtifactStore(site.artifacts)
    loop.suites |= suites_of(site, loop.name, ledger)
    started = time.perf_counter()
    parts = [part for part in (kept, replayed) if part is not None]
    ground = Ground(
        learnt=learnt_of([*loop.material.seed_samples(), *(one for part in parts for one in store.samples(part))]),
        dropped=dropped_of(store.samples(dropped)),
        passages={name: passage.text for name, passage in loop.material.passages.items()},
        labels=tuple(loop.labels),
    )
    answers = {
        name: {model: store.read_json(artifact) for model, artifact in by_model.items()}
        for name, by_model in tables.items()
    }
    embed = Remembered(store.read_bytes(embeddings) if embeddings else None, lambda: load_encoder(loop))
    found = attributing(loop.suites, answers, ground, embed)
    return Attributed(
        attribution=store.write_json(found.model_dump(mode="json")), seconds=time.perf_counter() - started
    )


def attributed(
    steps: Steps, round_: Round, loop: Loop, sifted: Sifted, replayed: Replayed | None, results: Results, encoder: str
) -> Attributed | None:
    """Where and why the candidate of a round fails; None where nothing was measured."""
    if not results.suites:
        return None
    return steps.run(
        attribute_failures,
        tables={name: answers.tables for name, answers in results.suites.items()},
        kept=sifted.kept,
        dropped=sifted.dropped,
        replayed=replayed.samples if replayed else None,
        embeddings=sifted.embeddings,
        attributing=loop.settings.attribute,
        left_out=loop.material.left_out,
        seeds=loop.material.seeds_digest,
        suites={name: suite.digest for name, suite in loop.suites.items()},
        prompts=loop.material.prompt_digest,
        encoder=encoder,
        ledger=round_.ledger.items,
    )


@task(**recorded("record_attribution"), **RETRIED)
def record_attribution(site: Site, round_: Round, found: Attributed | None) -> Attribution | None:
    """Log what was found to the round's run in MLflow, and what the round found and read to the loop's journal."""
    told: Attribution | None = None
    if found is not None:
        told = Attribution.model_validate(ArtifactStore(site.artifacts).read_json(found.attribution))
        tracking = Tracking(round_.loop, site.home)
        tracking.log_text(round_.run_id, told.model_dump_json(indent=2), "attribution.json")
        tracking.log_table(round_.run_id, table_rows(told), COLUMNS, "attribution/groups.json")
        if rows := [row for question in told.questions for row in question.sheet_rows()]:
            with scratch_in(site.home / "cache") as scratch:
                write_sheet(scratch / "questions.csv", {row["id"]: row for row in rows}.values())
                text = (scratch / "questions.csv").read_text(encoding="utf-8")
            tracking.log_text(round_.run_id, text, "attribution/questions.csv")
    digest = found.attribution.digest if found else None
    Journal(site.home, round_.loop).record(round_.id, digest, round_.follows)
    return told


class Lacking:
    """What the plan of a round is told that earlier samples lack; nothing where it follows nothing."""

    def __init__(self, loop: Loop, site: Site, follows: str | None) -> None:
        self._share = loop.settings.generate.follow
        self._planned = loop.planned_mix
        # a category of weight 0 is not wanted, whatever fails
        self._grid: Mapping[str, Cell] = {
            name: cell for name, cell in loop.material.cells.items() if self._planned[cell.category] > 0
        }
        self._more = Journal(site.home, loop.name).attribution(follows).more_samples if follows else []

    @property
    def cells(self) -> dict[str, float]:
        """By cell of the plan how many samples are asked for."""
        return cells_asked(self._more, self._grid)

    @property
    def mix(self) -> dict[str, float]:
        """Category → share of what is written, as the plan has it."""
        return followed_mix(self._planned, categories_asked(self._more, self._grid), self._share)


def follows(loop: Loop, site: Site, round_id: str) -> str | None:
    """The attribution that a round reads, by its digest; None where the loop follows none."""
    return Journal(site.home, loop.name).read_by(round_id) if loop.settings.generate.follow else None
