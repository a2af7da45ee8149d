"""A review from end to end: rows of the pool into a sheet, and the decisions of a sheet into the pool."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..ledger.corrections import remember
from ..ledger.store import Ledger
from ..loops import load_loop
from .agreement import JudgeAgreement, PairAgreement, agreement_with_judge, pairwise_agreement
from .annotators import Tool
from .log import Line
from .lookup import version_of
from .sheet import Decided, Outcome, choose, read_sheet, settle, sheet_rows, write_records, write_sheet
from .store import Pool
from .versions import Added, Version


class Reviewed(NamedTuple):
    """What a sheet did: rows by what became of them, how far its people agree with each other and with the judge.

    `line` is the pool's new one, if there is any.
    """

    counts: dict[str, int]
    agreement: list[PairAgreement]
    line: Line | None
    judge: JudgeAgreement | None
    ledger: str = ""  # what came into the loop's ledger, in words


def write_review(
    pool: Pool,
    path: Path,
    count: int,
    by: str,
    reviewers: Sequence[str] = (),
    seed: int = 0,
    tool: Tool | None = None,
) -> int:
    """Write a sheet of the last round and return its rows; with `tool`, the records of an annotation tool instead.

    Raises DataError when that round brought nothing new.
    """
    view = pool.view(version_of(pool, None))
    chosen = choose(view, count, by, seed)
    if not chosen:
        last = view.rounds[-1].round if view.rounds else "(none)"
        raise DataError(f"the pool of `{pool.loop}`: its last round, {last}, brought nothing new; run another seed")
    samples = {sample.id: sample for sample in pool.samples(view.entries[one.entry.id] for one in chosen)}
    rows = sheet_rows(chosen, samples, by)
    if tool is None:
        write_sheet(path, rows, reviewers)
    else:
        write_records(path, rows, tool)
    return len(rows)


def take_in(pool: Pool, folder: Path, path: Path) -> Reviewed:
    """Do what a sheet decides; the same sheet again changes nothing. Raises as `read_sheet` and `settle` do."""
    return take_in_rows(pool, folder, read_sheet(path), path)


def take_in_rows(pool: Pool, folder: Path, decided: Sequence[Decided], path: Path) -> Reviewed:
    """Do what the rows of a sheet decide; `path` is what they are said to come from."""
    view = pool.view(version_of(pool, None))
    loop = load_loop(folder, excluded=view.excluded)
    entries = [view.entries[row.id] for row in decided if row.id in view.entries]
    samples = {sample.id: sample for sample in pool.samples(entries)}
    held_out = (text.text for text in Ledger(pool.home, pool.loop).held_out())
    outcome = settle(decided, path, view, samples, loop.present.also(held_out))
    counts = {
        "accepted": len(outcome.accepted),
        "rejected": len(outcome.rejected) - len(outcome.corrected),
        "corrected": len(outcome.corrected),
        **outcome.untouched,
    }
    line = pool.review(_change(pool, outcome), why=path.name)
    words = {**dict.fromkeys(outcome.accepted, "accept"), **dict.fromkeys(outcome.rejected, "reject")}
    judged = agreement_with_judge((words.get(entry.id, ""), entry.scores) for entry in entries)
    reviewers = {row.id: ", ".join(filter(None, row.votes)) for row in decided}
    by = {sample.id: reviewers.get(sample.parent_id or "", "") for sample in outcome.corrected}
    told = remember(pool.home, loop, outcome.corrected, by, why=f"a correction of {path.name}")
    return Reviewed(counts, pairwise_agreement(row.votes for row in decided), line, judged, told)


def _change(pool: Pool, outcome: Outcome) -> Version:
    added: tuple[Added, ...] = ()
    if outcome.corrected:
        file = pool.store.write_samples(outcome.corrected)
        added = (Added(digest=file.digest, rows=file.rows),)
    return Version(excluded=outcome.rejected, marks=dict.fromkeys(outcome.accepted), added=added)
