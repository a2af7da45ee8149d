"""The ledger in a round: as it was opened, what it says of the candidate, and what the round leaves in it."""

from collections.abc import Mapping
from pathlib import Path

from prefect import task

from ..core.artifacts import Artifact, ArtifactStore
from ..core.digests import digest_of
from ..core.evaluation.gate import GateSettings
from ..core.evaluation.suites import Suite
from ..core.ledger.corrections import corrected_samples, fixed_items
from ..core.ledger.entries import Origin, held_out_of
from ..core.ledger.judging import CANDIDATE, CHAMPION, LedgerRuling, Undone, judge_ledger
from ..core.ledger.settings import LedgerSettings
from ..core.ledger.store import Ledger, Taken
from ..core.ledger.suites import is_ledger, ledger_suites, read_snapshot, scores_by_item, write_snapshot
from ..core.ledger.told import LedgerAt, LedgerTold
from ..core.loops import load_loop
from ..core.people.desk import Desk
from ..core.quality.known import Text
from ..core.rounds import Results, Round, Sifted, Site
from ..core.samples import Sample
from .steps import RETRIED, recorded


def open_ledger(site: Site, loop: str, round_id: str, settings: LedgerSettings, anew: bool) -> LedgerAt:
    """The ledger that a round is judged with: as it was when the round was opened, or as it is now with `anew`."""
    if settings.off:
        return LedgerAt()
    ledger = Ledger(site.home, loop)
    lines = len(ledger.lines()) if anew else ledger.opened_by(round_id)
    held = list(ledger.held(lines).values())
    return LedgerAt(lines=lines, items=write_snapshot(ArtifactStore(site.artifacts), held))


def suites_of(site: Site, loop: str, at: Artifact | None) -> dict[str, Suite]:
    """The parts of the ledger that are asked beside the suites."""
    return ledger_suites(read_snapshot(ArtifactStore(site.artifacts), at), Ledger(site.home, loop).path)


def held_out_by(site: Site, loop: str, at: Artifact | None) -> list[Text]:
    """Items of the ledger that are held out, as a round has it."""
    return held_out_of(read_snapshot(ArtifactStore(site.artifacts), at), Ledger(site.home, loop).path)


def judged(
    site: Site,
    at: LedgerAt,
    suites: Mapping[str, Suite],
    results: Results,
    settings: LedgerSettings,
    gate: GateSettings,
    seed: int,
) -> tuple[LedgerRuling | None, LedgerTold]:
    """The ruling on the candidate, and what the report tells of it, with what the candidate said."""
    store = ArtifactStore(site.artifacts)
    held = read_snapshot(store, at.items)
    answers = {name: found for name, found in results.suites.items() if is_ledger(name)}
    if not answers:
        return None, LedgerTold(lines=at.lines)
    scores = {
        name: {model: store.read_json(one) for model, one in found.scores.items()} for name, found in answers.items()
    }
    digest = digest_of(sorted(suites[name].digest for name in answers))
    ruling = judge_ledger(held, digest, scores_by_item(suites, scores), settings, gate, seed)
    replies = {
        row["id"]: str(row["reply"]) for found in answers.values() for row in store.read_json(found.tables[CANDIDATE])
    }
    undone = tuple(_with_reply(one, replies) for one in (ruling.undone if ruling else ()))
    active = [one for one in held if one.active]
    origins = {kind: sum(one.entry.origin.kind == kind for one in active) for kind in ("review", "round", "feedback")}
    return ruling, LedgerTold(
        lines=at.lines,
        items=len(active),
        origins={kind: count for kind, count in origins.items() if count},
        undone=undone,
    )


@task(**recorded("ledger"), **RETRIED)
def fill_ledger(site: Site, round_: Round, sifted: Sifted, results: Results, promoted: bool) -> LedgerTold:
    """Take in what people corrected in this round and, where it was promoted, what it fixed. Twice changes nothing."""
    loop, store = load_loop(site.loop, excluded=round_.excluded), ArtifactStore(site.artifacts)
    settings = loop.settings.ledger
    if settings.off:
        return LedgerTold()
    scores = {
        name: {model: store.read_json(one) for model, one in found.scores.items()}
        for name, found in results.suites.items()
    }
    fixed = [
        entry
        for name, by_model in scores.items()
        if promoted and name in loop.suites
        for entry in fixed_items(
            loop.suites[name], by_model.get(CHAMPION), by_model[CANDIDATE], round_.id, settings.right_from
        )
    ]
    parts = suites_of(site, round_.loop, round_.ledger.items)
    asked = scores_by_item(parts, {name: by_model for name, by_model in scores.items() if name in parts})
    right = [
        id
        for model in (CHAMPION, CANDIDATE)
        if promoted
        for id, score in asked.get(model, {}).items()
        if score is not None and score >= settings.right_from
    ]
    samples = _corrected(store, sifted)
    by = _reviewers(sifted)
    said = corrected_samples(samples, loop, Origin(kind="review", round=round_.id), settings.right_from, by)
    taken = Ledger(site.home, round_.loop).conclude_round(round_.id, round_.ledger.lines, said.entries, fixed, right)
    return told_of(taken, said.note)


def told_of(taken: Taken, note: str = "") -> LedgerTold:
    """What came into the ledger, for the report."""
    notes = [note] if note else []
    for new, there in taken.against:
        notes.append(
            f"`{new.item.prompt}` is in the ledger with another answer ({there.expected}, item {there.id}), which stays"
        )
    return LedgerTold(added=taken.added, replaced=taken.replaced, notes=tuple(notes))


def _corrected(store: ArtifactStore, sifted: Sifted) -> list[Sample]:
    """The samples that took the place of those that people corrected, wherever the batch's draw left them."""
    wanted = set(sifted.people.corrected.values()) if sifted.people else set()
    if not wanted:
        return []
    found = {one.id: one for part in (sifted.kept, sifted.dropped) for one in store.samples(part) if one.id in wanted}
    return [found[id] for id in sorted(found)]


def _reviewers(sifted: Sifted) -> dict[str, str]:
    """Who corrected each sample, by the id of what took its place."""
    if sifted.people is None or not sifted.people.sheet:
        return {}
    taken = Desk(Path(sifted.people.sheet).parent).taken()
    named = {row.id: ", ".join(filter(None, row.votes)) or row.by for row in taken.decisions} if taken else {}
    return {new: named.get(old, "") for old, new in sifted.people.corrected.items()}


def _with_reply(one: Undone, replies: Mapping[str, str]) -> Undone:
    return one.model_copy(update={"reply": replies.get(one.id, "")})
