"""The end of a reviewed round: the pool learns what people said, in time and late."""

from pathlib import Path

from ..artifacts import Artifact
from ..pool.log import Line
from ..pool.reviewing import take_in_rows
from ..pool.store import Pool
from ..pool.versions import Added, Version
from ..quality.batch.sampling import NOT_SAMPLED
from .deciding import PeopleReviewed
from .desk import Decision, Desk


def take_in_review(pool: Pool, folder: Path, people: PeopleReviewed, dropped: Artifact) -> Line | None:
    """Tell `pool` what people said of a round that it has taken in already; its last new line, if there is any.

    A row that people were shown, and that the batch's draw then left out, stands among the `dropped`. It comes into
    the pool as well, marked until somebody vouches for it: else nobody could, and its sheet would be refused. What
    they vouch for is accepted whatever the verdict, also where they said so while the round trained. Twice is once.
    """
    desk = Desk(Path(people.sheet).parent)
    line = _take_in_left_out(pool, desk, people, dropped)
    if people.vouched:
        change = Version(marks=dict.fromkeys(people.vouched))
        line = pool.review(change, why=f"review of round {_round_of(desk)}") or line
    if desk.concluded:
        return line
    if late := desk.late():
        line = _take_in_late(pool, folder, desk, late) or line
    desk.conclude()
    return line


def _take_in_left_out(pool: Pool, desk: Desk, people: PeopleReviewed, dropped: Artifact) -> Line | None:
    asked = desk.asked()
    wanted = {*(asked.ids if asked else ()), *people.vouched}
    rows = [
        sample.model_copy(update={"reject_reason": None})
        for sample in pool.store.samples(dropped)
        if sample.reject_reason == NOT_SAMPLED and sample.id in wanted
    ]
    if not rows:
        return None
    file = pool.store.write_samples(rows)
    change = Version(added=(Added(digest=file.digest, rows=file.rows),), mark="inconclusive")
    return pool.review(change, why=f"shown to people in round {_round_of(desk)}, not drawn")


def _take_in_late(pool: Pool, folder: Path, desk: Desk, late: list[Decision]) -> Line | None:
    """What the pool knows as a sheet brings it; of the rest, whose texts it holds as others', what is turned down."""
    view = pool.view(pool.head())
    known = [row.decided for row in late if row.id in view.entries or row.id in view.excluded]
    unknown = {row.id for row in late} - {row.id for row in known}
    out = {row.id: f"rejected in {desk.sheet.name}" for row in late if row.id in unknown and row.turned_down}
    line = pool.exclude(out) if out else None
    return take_in_rows(pool, folder, known, desk.sheet).line or line


def _round_of(desk: Desk) -> str:
    asked = desk.asked()
    return asked.round if asked else desk.folder.name
