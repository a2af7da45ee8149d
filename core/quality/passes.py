"""How filters run over more rows than memory holds: batch by batch, in as few passes over the rows as they need.

A filter that looks at one row at a time is called batch by batch. One that needs every row (`ByCorpus`) gathers a few
bytes of each, and decides when the pass is over; what stands after it in the funnel takes another pass. What is kept
of a row from pass to pass is its verdict; the row itself is read again, and what changed it is asked again.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from ..memory import uncollected
from ..models.progress import Progress, silent
from ..samples import Sample
from .context import FunnelContext, Judgements
from .shingles import Ints
from .sketches import Heard
from .verdicts import Batch, Unreadable, Verdict, as_judged

ROWS = 2048
"""Of a batch: enough for what a call costs to vanish, few enough for progress to be seen where rows are dear."""

MOST_FILTERS = 64
HERE = {"encoder", "review", "models"}  # what cannot be sent to another process


class ByRow(Protocol):
    """A filter whose answer for a row does not depend on the other rows."""

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements: ...


class Gathered(Protocol):
    """What a filter keeps of the rows of a batch; small, and fit to be sent to another process."""

    def take(self, rows: Ints) -> Self: ...


@runtime_checkable
class ByCorpus(Protocol):
    """A filter that judges when it has seen every row."""

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Gathered: ...

    def decide(self, batches: Sequence[Any], context: FunnelContext, heard: Heard) -> Judgements | Sequence[str | None]:
        """On all rows that were gathered, in their order; reasons alone will do. It changes no row."""
        ...


Numbered = tuple[int, Any]  # a filter, and its place in the funnel


class Pass(NamedTuple):
    """Filters that can work in one reading of the rows: some by row, then some by corpus."""

    by_row: tuple[Numbered, ...]
    by_corpus: tuple[Numbered, ...]


def passes(filters: Sequence[Any]) -> list[Pass]:
    """`filters` in order as the fewest passes, at least one."""
    found = [Pass((), ())]
    for numbered in enumerate(filters):
        if isinstance(numbered[1], ByCorpus):
            found[-1] = found[-1]._replace(by_corpus=(*found[-1].by_corpus, numbered))
        elif found[-1].by_corpus:
            found.append(Pass((numbered,), ()))
        else:
            found[-1] = found[-1]._replace(by_row=(*found[-1].by_row, numbered))
    return found


@dataclass
class Tally:
    """What one filter did so far."""

    rows_in: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)  # of the last batch, which are about all before it too
    notes: tuple[str, ...] = ()
    seen: Any = None

    def add(self, rows: int, reasons: Iterable[str | None], seconds: float) -> None:
        self.rows_in += rows
        self.dropped.update(reason for reason in reasons if reason is not None)
        self.seconds += seconds

    def __iadd__(self, other: "Tally") -> "Tally":
        self.add(other.rows_in, other.dropped.elements(), other.seconds)
        self.figures, self.notes = other.figures or self.figures, other.notes or self.notes
        if other.seen is not None:
            self.seen = other.seen if self.seen is None else self.seen + other.seen
        return self

    def sum_up(self, judge: Any) -> None:
        """Let the filter say what comes of all that it saw."""
        if self.seen is not None:
            self.figures, self.notes = judge.summary(self.seen)
            self.seen = None


class Outcome(NamedTuple):
    """What a pass makes of one batch."""

    verdict: Verdict
    gathered: list[Any]  # of each filter by corpus, in their order; None where no row is left
    tallies: list[Tally]  # of each filter of the pass


@dataclass(frozen=True)
class Work:
    """One pass as a function of one batch and its verdict so far; it can be sent to another process."""

    filters: tuple[Any, ...]
    step: Pass
    context: FunnelContext

    def __call__(self, item: tuple[Batch, Verdict | None]) -> Outcome:
        with uncollected():
            return self._outcome(*item)

    def _outcome(self, batch: Batch, verdict: Verdict | None) -> Outcome:
        if verdict is None:
            verdict = Verdict([None] * len(batch))
            samples = _first_read(batch, verdict)
        else:
            samples = as_judged(self.filters, batch, verdict, verdict.left(), self.context)
        left, tallies = verdict.left(), []
        for number, judge in self.step.by_row:
            tallies.append(tally := Tally())
            left, samples = _judge(number, judge, left, samples, verdict, self.context, tally)
        gathered = []
        for _, judge in self.step.by_corpus:
            started = time.perf_counter()
            gathered.append(judge.gather(samples, self.context) if samples else None)
            tallies.append(Tally(seconds=time.perf_counter() - started))
        return Outcome(verdict, gathered, tallies)


T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """`map`, or what does the same in several processes."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


def judge_all(
    filters: Sequence[Any],
    batches: Iterable[Batch],
    context: FunnelContext,
    *,
    each: Each = map,
    progress: Progress = silent,
    rows: int = 0,
) -> tuple[list[Verdict], list[Tally]]:
    """The verdict on each batch, in order, and what each filter did. `batches` is read once for each pass.

    Filters that need an encoder or reviewers run in this process whatever `each` is. `progress` hears the rows that
    are done; `rows` is how many there are, as far as is known.
    """
    verdicts: list[Verdict] | None = None
    tallies: list[Tally] = []
    for number, step in enumerate(steps := passes(filters), 1):
        alone = any(not HERE.isdisjoint(getattr(judge, "needs", ())) for _, judge in (*step.by_row, *step.by_corpus))
        work = Work(tuple(filters), step, context if alone else context.texts_only())
        label = "judging" if len(steps) == 1 else f"judging, pass {number} of {len(steps)}"
        outcomes: list[Outcome] = []
        sums = [Tally() for _ in (*step.by_row, *step.by_corpus)]
        done = 0
        for outcome in (map if alone else each)(work, zip(batches, verdicts or repeat(None), strict=False)):
            for whole, part in zip(sums, outcome.tallies, strict=True):  # now, so that what each saw lives but once
                whole += part
            outcomes.append(outcome._replace(tallies=[]))
            progress(label, done := done + len(outcome.verdict.reasons), max(done, rows))
        for whole, (_, judge) in zip(sums, (*step.by_row, *step.by_corpus), strict=True):
            whole.sum_up(judge)
        tallies += sums
        _decide(step, outcomes, context, tallies[-len(step.by_corpus) :] if step.by_corpus else [], progress)
        verdicts = [outcome.verdict for outcome in outcomes]
    return verdicts or [], tallies


def _first_read(batch: Batch, verdict: Verdict) -> list[Sample]:
    """The rows that are left: those that cannot be read, or were rejected before, are noted in `verdict`."""
    samples = []
    for row, sample in enumerate(batch.samples(range(len(batch)))):
        if isinstance(sample, Unreadable):
            verdict.unreadable[row] = sample.why
        elif sample.reject_reason is not None:
            verdict.reasons[row] = sample.reject_reason
        else:
            samples.append(sample)
    return samples


def _judge(
    number: int,
    judge: ByRow,
    left: list[int],
    samples: list[Sample],
    verdict: Verdict,
    context: FunnelContext,
    tally: Tally,
) -> tuple[list[int], list[Sample]]:
    """Ask one filter about the rows `left`; those that it leaves."""
    if not left:
        return left, samples
    started = time.perf_counter()
    judged = judge(samples, context)
    for name, values in judged.scores.items():
        verdict.score(name, left, values)
        samples = [
            sample if value is None else sample.with_scores(**{name: value})
            for sample, value in zip(samples, values, strict=True)
        ]
    verdict.change(number, [left[at] for at in judged.changed])
    for at, sample in judged.changed.items():
        samples[at] = sample.with_scores(**verdict.scores_of(left[at]))
    verdict.like |= {left[at]: like for at, like in judged.like.items()}
    pairs: list[tuple[int, Sample]] = []
    for row, sample, reason in zip(left, samples, judged.reasons, strict=True):
        if reason is None:
            pairs.append((row, sample))
        else:
            verdict.reasons[row] = reason
    tally.add(len(left), judged.reasons, time.perf_counter() - started)
    tally.figures, tally.notes, tally.seen = judged.figures, judged.notes, judged.seen
    return [row for row, _ in pairs], [sample for _, sample in pairs]


def _decide(
    step: Pass, outcomes: Sequence[Outcome], context: FunnelContext, tallies: Sequence[Tally], progress: Progress
) -> None:
    """Let the filters by corpus judge in turn; each sees what the ones before it left."""
    rows = [np.array(outcome.verdict.left(), dtype=np.int64) for outcome in outcomes]
    places = [np.arange(len(left)) for left in rows]  # of the rows left now, among those that were gathered
    for at, (_, judge) in enumerate(step.by_corpus):
        started, parts = time.perf_counter(), []
        for outcome, part in zip(outcomes, places, strict=True):
            found, outcome.gathered[at] = outcome.gathered[at], None  # so that it lives once
            if len(part):
                parts.append(found.take(part))
        if not parts:
            continue
        found = judge.decide(parts, context, _told(judge.kind, progress))
        judged = found if isinstance(found, Judgements) else Judgements(list(found))
        own = [left[place] for left, place in zip(rows, places, strict=True)]
        _note(outcomes, own, judged)
        cuts = np.cumsum([len(place) for place in places])[:-1]
        kept = np.array([reason is None for reason in judged.reasons])
        places = [place[part] for place, part in zip(places, np.split(kept, cuts), strict=True)]
        tallies[at].add(len(judged.reasons), judged.reasons, time.perf_counter() - started)
        tallies[at].figures, tallies[at].notes = judged.figures, judged.notes


def _note(outcomes: Sequence[Outcome], rows: Sequence[Ints], judged: Judgements) -> None:
    """Write what a filter by corpus said into the verdicts; `rows` are those of each batch that it judged."""
    starts = np.cumsum([0, *(len(outcome.verdict.reasons) for outcome in outcomes)])
    numbers = np.concatenate([start + own for start, own in zip(starts, rows, strict=False)])
    at = 0
    for outcome, own in zip(outcomes, rows, strict=True):
        verdict, left = outcome.verdict, own.tolist()
        for name, values in judged.scores.items():
            part = values[at : at + len(left)]
            if any(value is not None for value in part):
                verdict.score(name, left, part)
        for row in left:
            verdict.reasons[row] = judged.reasons[at]
            if (like := judged.like.get(at)) is not None:
                verdict.like[row] = int(numbers[like]) if isinstance(like, int) else like
            at += 1


def _told(kind: str, progress: Progress) -> Heard:
    return lambda done, total: progress(f"{kind}, comparing", done, total)
