"""Whether users ask otherwise than they did: windows of questions, and one of them beside an earlier one. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from ..quality.batch.check import check
from ..quality.batch.distance import DistanceCheck
from ..quality.batch.findings import NAMES, Check, Finding
from ..quality.batch.mix import MixChecks, Target, shares_of
from ..quality.batch.numbers import NumberChecks
from ..quality.batch.settings import Batch
from ..quality.batch.sides import Embed, Side
from ..samples import Sample
from ..settings import Setting

HOUR = 3600.0
LOOKED_AT: tuple[Check, ...] = ("ks", "psi", "kl", "distance")


class Drift(Setting):
    """When two windows of questions are told apart. Each needs a small p-value and more than its limit."""

    rows: int = Field(200, ge=50, le=100_000, description="fewest questions of a window")
    hours: float = Field(
        24.0, ge=0, le=8760, description="hours that a window spans at least; a day, so that night is not beside noon"
    )
    texts: int = Field(500, ge=50, le=10_000, description="questions of a window that are embedded at most")
    alpha: float = Field(0.01, gt=0, lt=0.5, description="largest p-value of a drift, for each kind of check")
    numbers: NumberChecks = Field(NumberChecks(), description="words, characters and turns: KS and PSI")
    distance: DistanceCheck = Field(DistanceCheck(), description="where the embeddings of the questions lie")
    kl: float = Field(0.1, gt=0, description="largest KL divergence of the intents in nats, above what chance makes")


class Asked(NamedTuple):
    """A question with what it wanted, and when it was asked, in seconds since 1970."""

    at: float
    sample: Sample


class Window(NamedTuple):
    """Questions from one moment to another, both of them included."""

    since: float
    until: float
    side: Side


def window_of(asked: Iterable[Asked], settings: Drift, seed: int = 0) -> Window | None:
    """The first whole window of `asked`, which are in the order of time; None where they are too few or too fast."""
    side = Side(settings.texts, seed)
    since = until = None
    for one in asked:
        since = one.at if since is None else since
        # what was asked in the same moment stays together: the next window begins after it
        if until is not None and one.at > until and _whole(side.rows, until - since, settings):
            break
        side.add([one.sample])
        until = one.at
    if since is None or until is None or not _whole(side.rows, until - since, settings):
        return None
    return Window(since, until, side)


def _whole(rows: int, seconds: float, settings: Drift) -> bool:
    return rows >= settings.rows and seconds >= settings.hours * HOUR


def drifted(recent: Side, before: Side, settings: Drift, embed: Embed, seed: int = 0) -> list[Finding]:
    """What tells `recent` from `before`; empty where nothing does.

    KS and PSI of lengths, the G-test of the intents, the energy distance of the embeddings: `quality/batch` has them.
    Where nothing changed, each of the four is wrong in at most `alpha` of the windows, and far less by its limit.
    """
    batch = Batch(
        alpha=settings.alpha,
        rows=max(settings.texts, 100),
        numbers=settings.numbers,
        distance=settings.distance,
        mix=MixChecks(kl=settings.kl),
    )
    target = Target(shares_of(before.categories), before.categories)
    report = check(recent, before, batch, embed, target, seed).report
    return [one for one in report.of("warn") if one.check in LOOKED_AT]


def sentence_of(finding: Finding) -> str:
    """A finding for people."""
    told = "infinite" if finding.value is None else f"{finding.value:.2f}"
    least = "" if finding.threshold is None else f", limit {finding.threshold:.2f}"
    return f"{NAMES[finding.check]} of {finding.of} is {told}{least}: {finding.said}."
