"""One model's scores on one suite taken apart: by label, slice and difficulty, which labels it takes for which others,
and whether it is as sure as it is right. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil
from statistics import fmean
from typing import Literal

from ..settings import Setting
from .benchmark import Answered
from .scorers import ExactLabel, Item
from .statistics import is_binary, wilson_interval
from .suites import Suite

By = Literal["label", "slice", "difficulty"]
BINS = 10


class Part(Setting):
    """The items of one label, slice or difficulty. `mean` is None where none of them was scored.

    `low` and `high` are the 95% interval of Wilson, where every score is 0 or 1.
    """

    by: By
    name: str
    n: int
    unscored: int
    mean: float | None
    low: float | None = None
    high: float | None = None


class Confusion(Setting):
    """How many items of each label were answered with each: `counts[true][answered]`."""

    labels: tuple[str, ...]
    answered: tuple[str, ...]
    """The labels, and behind them what replies are called that are none, where there are any."""
    counts: tuple[tuple[int, ...], ...]

    @property
    def mistakes(self) -> list[tuple[str, str, int]]:
        """(true, answered, how often) from the commonest."""
        found = [
            (true, said, count)
            for true, row in zip(self.labels, self.counts, strict=True)
            for said, count in zip(self.answered, row, strict=True)
            if count and true != said
        ]
        return sorted(found, key=lambda one: (-one[2], one[0], one[1]))


class Bin(Setting):
    """The items whose confidence lies in (low, high]."""

    low: float
    high: float
    n: int
    confidence: float
    right: float


class Calibration(Setting):
    """Confidence beside accuracy; `error` is the expected calibration error: Σ n/N |right − confidence|.

    Guo et al. 2017, over ten bins of equal width.
    """

    n: int
    error: float
    bins: tuple[Bin, ...]


class Breakdown(Setting):
    """What one model did on one suite, taken apart; small, whatever the items."""

    parts: tuple[Part, ...]
    confusion: Confusion | None = None
    calibration: Calibration | None = None

    def of(self, by: By) -> tuple[Part, ...]:
        """The parts of one kind."""
        return tuple(part for part in self.parts if part.by == by)


def breakdown(suite: Suite, answered: Answered) -> Breakdown:
    """Take the scores of one model on `suite` apart; parts of which there is only one kind are left out."""
    return Breakdown(
        parts=(
            *_parts("label", [item.label for item in suite.items], answered),
            *_parts("slice", [item.slice if item.slice != item.label else None for item in suite.items], answered),
            *_parts("difficulty", [item.difficulty for item in suite.items], answered),
        ),
        confusion=_confusion(suite, answered),
        calibration=_calibration(suite.items, answered),
    )


def _parts(by: By, names: Sequence[str | None], answered: Answered) -> list[Part]:
    groups: dict[str, list[float | None]] = defaultdict(list)
    for name, value in zip(names, answered.values, strict=True):
        if name is not None:
            groups[name].append(value)
    return [_part(by, name, values) for name, values in sorted(groups.items())]


def _part(by: By, name: str, values: Sequence[float | None]) -> Part:
    known = [value for value in values if value is not None]
    low, high = (None, None)
    if known and is_binary(known):
        low, high = wilson_interval(int(sum(known)), len(known))
    mean = fmean(known) if known else None
    return Part(by=by, name=name, n=len(known), unscored=len(values) - len(known), mean=mean, low=low, high=high)


def _confusion(suite: Suite, answered: Answered) -> Confusion | None:
    scorer = suite.settings.scorer
    if not isinstance(scorer, ExactLabel):
        return None
    labels = list(dict.fromkeys([*suite.labels, *(item.label or "" for item in suite.items)]))
    counts: Counter[tuple[str, str]] = Counter()
    for item, replies in zip(suite.items, answered.every_reply, strict=True):
        counts.update((item.label or "", scorer.predicted(reply, labels)) for reply in replies)
    others = sorted({said for _, said in counts} - set(labels))
    columns = [*labels, *others]
    rows = tuple(tuple(counts[true, said] for said in columns) for true in labels)
    return Confusion(labels=tuple(labels), answered=tuple(columns), counts=rows)


def _calibration(items: Sequence[Item], answered: Answered) -> Calibration | None:
    """Of items whose score has a confidence; right is a choice that is the item's right one."""
    known = [
        (score.confidence, float(item.choice is not None and item.choices[item.choice] == reply))
        for item, score, reply in zip(items, answered.scores, answered.replies, strict=True)
        if score.confidence is not None
    ]
    if not known:
        return None
    groups: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for confidence, right in known:
        groups[max(0, ceil(confidence * BINS) - 1)].append((confidence, right))
    bins = []
    for at, group in sorted(groups.items()):
        sure, right = (fmean(column) for column in zip(*group, strict=True))
        bins.append(Bin(low=at / BINS, high=(at + 1) / BINS, n=len(group), confidence=sure, right=right))
    error = sum(one.n * abs(one.right - one.confidence) for one in bins) / len(known)
    return Calibration(n=len(known), error=error, bins=tuple(bins))
