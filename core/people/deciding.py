"""What people decided, done to the samples of a round: rejected ones leave, corrected ones take their own place."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from ..pool.agreement import JudgeAgreement, agreement_with_judge, pairwise_agreement
from ..pool.fitting import Present
from ..pool.sheet import corrected_by, majority
from ..samples import Sample
from ..settings import Setting
from .desk import Decision

REASON = "reviewed_out"


class PeopleReviewed(Setting):
    """What people's review did to a round, as its report tells it."""

    mode: str
    asked: int = Field(description="rows that people were shown")
    accepted: tuple[str, ...] = Field((), description="ids that people vouched for")
    rejected: tuple[str, ...] = Field((), description="ids that left the training set")
    corrected: dict[str, str] = Field({}, description="id → id of the sample that took its place")
    undecided: int = Field(0, description="rows on which reviewers are divided")
    sheet: str = Field("", description="where the sheet lies")
    ended: str = Field("", description="how the wait ended: sheet, form, timeout, offered")
    seconds: float = Field(0.0, description="how long the round waited, since it was started last")
    pairs: tuple[tuple[str, str, int, float, float | None], ...] = Field(
        (), description="reviewer, reviewer, rows, share of equal decisions, Cohen's κ"
    )
    judge: JudgeAgreement | None = Field(None, description="agreement with the judges of the funnel")

    @property
    def decided(self) -> int:
        return len(self.accepted) + len(self.rejected) + len(self.corrected) + self.undecided

    @property
    def excluded(self) -> dict[str, str]:
        """What later rounds must not learn from, with why."""
        gone = dict.fromkeys(self.rejected, "rejected in the review of its round")
        return gone | {old: f"corrected to {new}" for old, new in self.corrected.items()}

    @property
    def vouched(self) -> tuple[str, ...]:
        """Ids that somebody vouches for, whatever the verdict of the round."""
        return (*self.accepted, *self.corrected.values())

    def summary(self) -> dict[str, Any]:
        """The counts and figures, for the report."""
        told = self.model_dump(mode="json", exclude={"pairs", "accepted", "rejected", "corrected"})
        counts = {name: len(getattr(self, name)) for name in ("accepted", "rejected", "corrected")}
        names = ("one", "other", "rows", "share", "kappa")
        pairs = [dict(zip(names, pair, strict=True)) for pair in self.pairs]
        return told | counts | {"decided": self.decided, "agreement": pairs}


class Settled(NamedTuple):
    """The samples of a round after its review, and what was done."""

    kept: list[Sample]
    dropped: list[Sample]
    reviewed: PeopleReviewed


def decide_samples(
    samples: Iterable[Sample], decisions: Sequence[Decision], present: Present, mode: str, asked: int
) -> Settled:
    """Do what the `decisions` say to the `samples` of a round; the order stays.

    A correction that says what another sample says already only removes its own. Raises DataError for a correction
    that is no label, LeakError for one that is held out, as they were told when they were given.
    """
    given = list(samples)
    by_id = {row.id: row for row in decisions}
    others, kept, dropped = {one.id for one in given}, list[Sample](), list[Sample]()
    accepted, corrected, undecided, said = list[str](), dict[str, str](), 0, list[tuple[str, Any]]()
    for sample in given:
        row = by_id.get(sample.id)
        better = corrected_by(row.decided, sample, Path(row.by), present) if row else sample
        word = "reject" if better.id != sample.id else majority(row.votes) if row else "no decision"
        said.append((word, sample.scores))
        if better.id != sample.id and better.id not in others:
            others.add(better.id)
            corrected[sample.id] = better.id
            kept.append(better)
        elif word == "reject":
            dropped.append(sample.rejected(REASON))
        else:
            kept.append(sample)
            undecided += word == "undecided"
            accepted += [sample.id] if word == "accept" else []
    reviewed = PeopleReviewed(
        mode=mode,
        asked=asked,
        accepted=tuple(accepted),
        rejected=tuple(one.id for one in dropped),
        corrected=corrected,
        undecided=undecided,
        pairs=tuple(tuple(pair) for pair in pairwise_agreement(row.votes for row in decisions)),
        judge=agreement_with_judge(said),
    )
    return Settled(kept, dropped, reviewed)
