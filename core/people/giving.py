"""A decided sheet for a round that has not ended: checked, and laid on its desk."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..artifacts import ArtifactStore
from ..errors import DataError
from ..ledger.store import Ledger
from ..loops import load_loop
from ..pool.agreement import JudgeAgreement, PairAgreement, agreement_with_judge, pairwise_agreement
from ..pool.annotators import Tool
from ..pool.fitting import Present
from ..pool.sheet import Decided, corrected_by, majority, write_records, write_sheet
from ..samples import Sample
from .desk import Decision, Desk, as_rows


class Laid(NamedTuple):
    """What a sheet brought to a desk, and what is still to be decided there."""

    round: str
    decided: int
    left: int
    late: bool  # the round trains already: it changes the pool when the round ends
    agreement: list[PairAgreement]
    judge: JudgeAgreement | None


def lay_decisions(
    desk: Desk, store: ArtifactStore, folder: Path, path: Path, rows: Sequence[Decided], rest: bool
) -> Laid:
    """Give the decisions of the sheet at `path` to the round of `desk`; with `rest` it need not wait for others.

    Raises as `check_decisions` does; then nothing is given.
    """
    given = [
        Decision(id=row.id, by=path.name, line=row.line, votes=dict(row.votes), new_text=row.new_text,
                 new_answer=row.new_answer)
        for row in rows
    ]  # fmt: skip
    given = [row for row in given if row.says_something]
    samples = desk.samples(store)
    loop = load_loop(folder)
    held_out = (text.text for text in Ledger(desk.folder.parents[2], loop.name).held_out())
    check_decisions(given, samples, path, loop.present.also(held_out))
    if given or rest:
        desk.give(given, rest)
    asked = desk.asked()
    return Laid(
        round=asked.round if asked else "",
        decided=len(given),
        left=len(desk.left()),
        late=desk.taken() is not None,
        agreement=pairwise_agreement(row.votes for row in given),
        judge=agreement_with_judge((word_of(row, samples[row.id]), samples[row.id].scores) for row in given),
    )


def write_desk(desk: Desk, path: Path, reviewers: Sequence[str] = (), tool: Tool | None = None) -> int:
    """Write the rows of `desk` as `write_review` writes those of the pool; returns how many they are."""
    asked = desk.asked()
    rows = as_rows(asked) if asked else []
    if tool is None:
        write_sheet(path, rows, reviewers)
    else:
        write_records(path, rows, tool)
    return len(rows)


def check_decisions(rows: Iterable[Decision], samples: Mapping[str, Sample], path: Path, present: Present) -> None:
    """Raises DataError for a correction that is no label, LeakError for one that is held out; both name `path`."""
    for row in rows:
        if row.id not in samples:
            raise DataError(f"{path}:{row.line}: the round has no sample {row.id}; is this the sheet of another one?")
        corrected_by(row.decided, samples[row.id], path, present)


def word_of(row: Decision, sample: Sample) -> str:
    """What people say of a sample as it was: a correction turns it down."""
    same = (row.new_text or sample.prompt, row.new_answer or sample.completion) == (sample.prompt, sample.completion)
    return majority(row.votes) if same else "reject"
