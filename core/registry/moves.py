"""Moving the aliases of a loop: promotion as compare-and-swap, rollback, and what a crash left made good.

A move is written three times, in this order:

1. a line `begun` in the journal, with all that the move is;
2. the alias in MLflow, one statement in its database, so that there is never none or two;
3. a line `done`, which names the line that began it.

A process that ends in between leaves the old alias or the new one. Whoever comes next looks at the alias and finishes
the journal: where it stands as the move wanted, the line `done` is written after all; where it does not, the move is
`withdrawn`. An alias that stands where no move of ours put it was moved outside, by a person in MLflow or from another
state folder: that is written down and left as it is.

A promotion is bound to the champion that its verdict is against. Another one by then, and nothing is moved: the
verdict is written down as `refuse`. What a verdict won is applied once: a round that is given again after its
promotion, even after a rollback of it, moves nothing.

One mover at a time: a lock in the state folder, and a claim in MLflow for those of other folders (`claims.py`).
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..errors import RegistryError
from ..settings import Setting
from ..workspace import locked
from .claims import Claim, Place, claimed
from .fingerprint import Fingerprint, tags_of
from .journal import Alias, Clock, Entry, Figures, Move, Who
from .past import Past, judged_tags
from .record import CHAMPION_TAG, Record, Registry, journal_of

PATIENCE = 60.0  # seconds that a mover waits for another of this folder
BASE = "base"  # what `--to` calls no champion at all
LOOSE = {"before", "run", "reason", "fingerprint", "figures"}
"""What may differ between two judgements that say the same."""


class Judged(Setting):
    """What a round found about its candidate."""

    version: str
    adapter: str
    against: str | None
    verdict: Literal["promoted", "rejected", "inconclusive"]
    figures: Figures = Field({})
    reason: str = ""
    round: str = ""
    run: str = ""
    fingerprint: Fingerprint | None = None


class Moved(Setting):
    """What came of asking for a move. `note` is a sentence for people; empty where all went as the verdict says."""

    status: Literal["promoted", "stays", "refused", "already", "rolled_back"]
    version: str | None
    champion: str | None
    before: str | None = None
    note: str = ""
    entry: int | None = None


class Moves:
    """The registry of one loop and its journal in the state folder `home`, as `who` uses them.

    Every method raises RegistryError for a damaged journal, BusyError while others move, DependencyError when MLflow
    does not answer; the champion stays then.
    """

    def __init__(
        self,
        loop: str,
        registry: Registry,
        home: Path,
        who: Who,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.loop = loop
        self.journal = journal_of(home, loop, clock)
        self._registry = registry
        self._lock = home / "locks" / f"{loop}.registry.lock"  # no loop's name has a dot
        self._who = who
        self._clock = clock
        self._sleep = sleep

    def catch_up(self) -> Past:
        """Bring the journal up to what MLflow says, and MLflow's tags to what the journal says; moves no alias."""
        with self._alone() as record:
            return record.past

    def judge(self, judged: Judged) -> Moved:
        """Point `candidate` to what a round made, and `champion` too where the verdict says so and still holds.

        Doing it twice changes nothing.
        """
        with self._alone() as record, self._claimed(record) as claim:
            past = record.past
            if (won := past.promotion(adapter=judged.adapter)) is not None:
                return self._applied_before(judged, past, won)
            self._point_candidate(judged, record, claim)
            champion = past.champion
            if judged.verdict != "promoted" or champion == judged.version:
                return Moved(status="stays", version=judged.version, champion=champion)
            if champion != judged.against:
                return _refused(judged, record)
            entry = self._move(_move("promote", "champion", champion, judged), record, claim)
            told = {"version": judged.version, "champion": judged.version, "before": champion}
            return Moved(status="promoted", entry=entry.sequence, **told)

    def roll_back(self, to: str | None = None, reason: str = "", leaving: str | None = None) -> Moved:
        """Make `to` the champion, `base` for none; without it the champion before the present one.

        Where `leaving` is given and is not champion any more, nothing is moved: somebody else was quicker. Asked twice
        it says so and changes nothing. Raises RegistryError for a version that there is not, or that was
        never champion where no reason is given.
        """
        with self._alone() as record:
            self._target(to, reason, record.past)  # a mistake is told before anything is claimed
            with self._claimed(record) as claim:
                target, present = self._target(to, reason, record.past), record.past.champion
                if target == present or (leaving is not None and present != leaving):
                    note = _already(record.past, to is not None)
                    return Moved(status="already", version=target, champion=present, note=note)
                won = record.past.promotion(version=target) if target else None
                move = Move(
                    kind="rollback",
                    alias="champion",
                    before=present,
                    after=target,
                    adapter=won.move.adapter if won else "",
                    reason=reason,
                )
                entry = self._move(move, record, claim)
                told = {"version": target, "champion": target, "before": present}
                return Moved(status="rolled_back", entry=entry.sequence, **told)

    def tell_canary(self, candidate: str, reason: str, figures: Figures) -> None:
        """Write down what was decided of a trial of version `candidate`, and why; moves no alias."""
        with self._alone() as record:
            move = Move(
                kind="canary", alias="champion", before=candidate, after=candidate, figures=figures, reason=reason
            )
            record.write(move)

    def measured(self, version: str, fingerprint: Fingerprint, round: str = "", run: str = "") -> None:
        """Write down that `version` was measured anew with these parts; nothing where that is known."""
        with self._alone() as record:
            if record.past.measured(version) == fingerprint:
                return
            move = Move(
                kind="measure",
                alias="champion",
                before=version,
                after=version,
                adapter=fingerprint.adapter,
                reason=f"version {version} was measured anew, with what answers now",
                round=round,
                run=run,
                fingerprint=fingerprint,
            )
            record.write(move)
            self._registry.tag_version(version, tags_of(fingerprint))

    @contextmanager
    def _alone(self) -> Iterator[Record]:
        """Hold the folder's lock, with the journal read and in step with MLflow."""
        busy = f"the aliases of `{self.loop}` are being moved by another process; wait for it"
        with locked(self._lock, busy, PATIENCE):
            record = Record(self.journal, self._registry, self._who)
            record.reconcile()
            record.mend_tags()
            yield record
            record.anchor()

    @contextmanager
    def _claimed(self, record: Record) -> Iterator[Claim]:
        """Hold the claim of all folders, with what they did until then taken in."""
        place = Place.of(self.journal.path.parent)
        with claimed(self._registry, self.loop, place, self._clock, self._sleep) as claim:
            record.reconcile()
            yield claim

    def _move(self, move: Move, record: Record, claim: Claim) -> Entry:
        """The three steps. Raises RegistryError where the alias was moved by somebody else at the same moment."""
        begun = record.write(move, "begun")
        if claim.stale:
            raise RegistryError(
                f"{self.loop}: this process stood still for too long to move an alias safely; run the command again"
            )
        if move.alias == "champion":
            told = {"version": move.after, "kind": move.kind, "by": self._who.in_words, "at": begun.at}
            self._registry.tag(CHAMPION_TAG, json.dumps(told | {"round": move.round, "line": begun.digest}))
        self._registry.point(move.alias, move.after)
        if self._registry.aliases().get(move.alias) != move.after:
            raise RegistryError(
                f"{self.loop}: `{move.alias}` was moved by somebody else at the same moment; `wheelwork history` tells "
                "where it stands"
            )
        return record.write(move, "done", begun.sequence)

    def _point_candidate(self, judged: Judged, record: Record, claim: Claim) -> None:
        """Tags and alias of the candidate; nothing where they are as they should be."""
        past = record.past
        move = _move("judge", "candidate", past.holders.get("candidate"), judged)
        if move.before == judged.version and _same(past.judged.get(judged.version), move):
            return
        self._registry.tag_version(judged.version, judged_tags(move))
        self._move(move, record, claim)

    def _applied_before(self, judged: Judged, past: Past, won: Entry) -> Moved:
        """A round that is given again: what became of its promotion."""
        version, left, note = str(won.move.after), past.left(str(won.move.after)), ""
        if left is not None:
            back = left.move.kind == "rollback"
            note = f"version {version} was promoted {_when(won)} and {'rolled back' if back else 'replaced'} "
            note += f"{_when(left)} by {left.who.in_words}; that stays so"
            note += f" (`wheelwork rollback {self.loop} --to {version}` puts it back)" if back else ""
        elif judged.verdict != "promoted":
            note = f"version {version} was promoted {_when(won)} and is the champion; giving its round again changes "
            note += "nothing"
        told = {"version": version, "champion": past.champion, "before": won.move.before}
        return Moved(status="already", note=note, entry=won.sequence, **told)

    def _target(self, to: str | None, reason: str, past: Past) -> str | None:
        """The version that a rollback goes to; None is the base."""
        if to is not None:
            return self._named(to, reason, past)
        if (last := past.last) is None:
            raise RegistryError(
                f"{self.loop}: has no champion yet, so there is nothing to go back from; run `wheelwork improve`"
            )
        target = last.move.after if last.move.kind == "rollback" else last.move.before
        if target is not None and target != past.champion and self._registry.version(target) is None:
            raise RegistryError(f"{self.loop}: version {target} is not in MLflow any more; name another with --to")
        return target

    def _named(self, to: str, reason: str, past: Past) -> str | None:
        """The version that a person named."""
        if to.lower() == BASE:
            return None
        version = to.removeprefix("v")
        known = list(dict.fromkeys(one for entry in past.champions for one in (entry.move.before, entry.move.after)))
        known = [one for one in known if one is not None]
        been = f"champion so far: {', '.join(map(str, known))}" if known else "none was champion so far"
        if self._registry.version(version) is None:
            raise RegistryError(f"{self.loop}: there is no version {to}; {been}")
        if version not in known and not reason.strip():
            raise RegistryError(
                f"{self.loop}: version {version} was never champion; say with --reason why it is to be one ({been})"
            )
        return version


def _refused(judged: Judged, record: Record) -> Moved:
    """Write down a verdict that came too late."""
    past = record.past
    champion, last = past.champion, past.last
    move = _move("refuse", "champion", champion, judged).model_copy(update={"after": champion})
    known = past.refused
    if known is None or not _same(known.move, move):
        known = record.write(move)
    now = f"version {champion} is champion" if champion else "there is no champion"
    since = f" since {_when(last)}, by {last.who.in_words}" if last else ""
    against = f"version {judged.against}" if judged.against else "the base"
    note = (
        f"version {judged.version} was judged better than {against}, but {now}{since}: the verdict is not applied; "
        "give the round again with the same seed to judge it against what is champion now"
    )
    return Moved(status="refused", version=judged.version, champion=champion, note=note, entry=known.sequence)


def _already(past: Past, named: bool) -> str:
    """What a rollback says that has nothing to do."""
    last, champion = past.last, past.champion
    said = f"version {champion} is champion already" if champion else "there is no champion already: the base answers"
    if last is None:
        return said
    said += f", since {_when(last)} by {last.who.in_words}"
    further = last.move.kind == "rollback" and not named
    return said + ("; to go further back, name a version with --to" if further else "")


def _same(known: Move | None, move: Move) -> bool:
    return known is not None and known.model_dump(exclude=LOOSE) == move.model_dump(exclude=LOOSE)


def _move(kind: Literal["judge", "promote", "refuse"], alias: Alias, before: str | None, judged: Judged) -> Move:
    told = judged.model_dump(exclude={"version"})
    return Move(kind=kind, alias=alias, before=before, after=judged.version, **told)


def _when(entry: Entry) -> str:
    return entry.moment.strftime("%Y-%m-%d %H:%M UTC")
