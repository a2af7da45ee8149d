"""How users take the answers, by version and day: satisfaction, corrections, recall of intents, errors, latency.

What is unknown is None: a day on which nobody spoke has no satisfaction. Shadows do not count, as nobody saw them.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pydantic import Field

from ..serving.exchange import Feedback
from ..settings import Setting
from .archive import Archive
from .counting import Counting, Wanted
from .retention import DAY

BY_USERS = ("correction", "thumb")
"""How an intent is known from users' own words."""
CONTENT = 4  # a rating from which on somebody is content: the upper two of five


class Recall(Setting):
    """Of the questions that wanted one label, how many were served with it."""

    label: str
    asked: int
    right: int


class Figures(Setting):
    """One version on one day, or over all days."""

    version: str
    day: str = Field(description="UTC, such as 2026-11-26; empty: all days")
    exchanges: int
    errors: int
    latency_p50: float | None = Field(description="seconds, of answers; None where it was not asked for")
    latency_p95: float | None
    rated: int = Field(description="exchanges with a thumb or a rating")
    content: int = Field(description="those of them with a thumb up, or a rating of 4 or 5")
    satisfaction: float | None = Field(description="share of the rated ones")
    low: float | None = Field(description="its 95% interval (Wilson 1927)")
    high: float | None
    rating: float | None = Field(description="mean of the ratings, 1 to 5")
    corrections: int = Field(description="exchanges with a correction")
    correction_rate: float | None = Field(description="share of the answers")
    recall: float | None = Field(
        description="share of the questions whose right label users told that were served with it; "
        "who is content says so less often, so it is a lower bound"
    )
    labels: tuple[Recall, ...] = Field((), description="the same by label")
    agreement: float | None = Field(
        description="share of the other questions, where the encoder is sure, that were served with its label"
    )


@dataclass
class _Sum:
    """What adds up to Figures."""

    exchanges: int = 0
    errors: int = 0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    content: dict[str, bool] = field(default_factory=dict)  # exchange → the last word
    ratings: dict[str, int] = field(default_factory=dict)
    corrected: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    sure: int = 0
    agreed: int = 0

    def hear(self, said: Feedback) -> None:
        """The latest word of an exchange counts."""
        if said.rating is not None:
            self.ratings[said.exchange] = said.rating
            self.content[said.exchange] = said.rating >= CONTENT
        if said.thumb is not None:
            self.content[said.exchange] = said.thumb == "up"
        if said.correction is not None:
            self.corrected.add(said.exchange)

    def learn(self, wanted: Wanted) -> None:
        if wanted.how in BY_USERS:
            self.asked[wanted.label] += wanted.asked
            self.right[wanted.label] += wanted.right
        else:
            self.sure += wanted.sure
            self.agreed += wanted.agreed

    def figures(self, version: str, day: str) -> Figures:
        from ..evaluation.statistics import wilson_interval

        rated, content = len(self.content), sum(self.content.values())
        low, high = wilson_interval(content, rated) if rated else (None, None)
        p50, p95 = np.quantile(self.latencies, [0.5, 0.95]).tolist() if self.latencies else (None, None)
        labels = tuple(Recall(label=name, asked=n, right=self.right[name]) for name, n in sorted(self.asked.items()))
        answers = self.exchanges - self.errors
        return Figures(
            version=version,
            day=day,
            exchanges=self.exchanges,
            errors=self.errors,
            latency_p50=p50,
            latency_p95=p95,
            rated=rated,
            content=content,
            satisfaction=_share(content, rated),
            low=low,
            high=high,
            rating=_share(sum(self.ratings.values()), len(self.ratings)),
            corrections=len(self.corrected),
            correction_rate=_share(len(self.corrected), answers),
            recall=_share(self.right.total(), self.asked.total()),
            labels=labels,
            agreement=_share(self.agreed, self.sure),
        )


def figures(
    archive: Archive, loop: str, since: float = 0.0, sure: float = 0.9, *, days: bool = True, latencies: bool = True
) -> list[Figures]:
    """A row for each version and day of a loop since then, or for each version with `days` false; days in order.

    The day is that of the exchange, not of what was said of it later. `sure` is `collect.sure` of the loop's traffic.
    Without `latencies` the database sends a few rows instead of one for each exchange.
    """
    counting = Counting(archive, loop, since, days=days)
    sums = {(one.version, one.day): _Sum(one.exchanges, one.errors) for one in counting.counts()}
    # what came in after they were counted is of the next time
    for version, day, latency in counting.latencies() if latencies else ():
        if (one_of := sums.get((version, day))) is not None:
            one_of.latencies.append(latency)
    for version, day, said in counting.said():
        if (one_of := sums.get((version, day))) is not None:
            one_of.hear(said)
    for wanted in counting.wanted(sure):
        if (one_of := sums.get((wanted.version, wanted.day))) is not None:
            one_of.learn(wanted)
    order = sorted(sums, key=lambda key: (key[1] or 0, _order(key[0])))
    return [sums[key].figures(key[0], "" if key[1] is None else day_of(key[1] * DAY)) for key in order]


def curves(rows: Iterable[Figures]) -> dict[str, dict[int, float]]:
    """The rows as series for MLflow: name with the version → step, which is the day since 1970, → value."""
    told: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        named: dict[str, Any] = row.model_dump(
            include={"exchanges", "errors", "satisfaction", "rating", "correction_rate", "recall", "agreement"}
        ) | {"latency_p95": row.latency_p95}
        named |= {f"recall.{one.label}": one.right / one.asked for one in row.labels}
        for name, value in named.items():
            if value is not None:
                told[f"traffic.{row.version}.{_plain(name)}"][step_of(row.day)] = float(value)
    return dict(told)


def day_of(at: float) -> str:
    """The day of a moment, in UTC."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def step_of(day: str) -> int:
    """Days from 1970 to `day`."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() // DAY)


def _plain(name: str) -> str:
    """`name` in signs that MLflow takes."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in name)


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _order(version: str) -> tuple[int, Sequence[Any]]:
    return (0, (int(version), version)) if version.isdecimal() else (1, (0, version))
