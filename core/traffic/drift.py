"""Whether users ask otherwise than they did: windows of questions, and one of them beside an earlier one. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import Field

from ..quality.batch.check import check
from ..quality.batch.distance import DistanceCheck
from ..quality.batch.findings import Check, Finding
from ..quality.batch.mix import MixChecks, Target, shares_of
from ..quality.batch.numbers import NumberChecks
from ..quality.batch.settings import Batch
from ..quality.batch.sides import Embed, Side
from ..samples import Sample
from ..settings import Setting

HOUR = 3600.0
NEAREST = "nearness to the seeds"
NAMED: dict[Check, str] = {"ks": "KS", "psi": "PSI", "kl": "KL", "distance": "energy distance"}
LOOKED_AT = tuple(NAMED)


class Drift(Setting):
    """When two windows of questions are told apart. Each needs a small p-value and more than its limit."""

    rows: int = Field(200, ge=50, le=100_000, description="fewest questions of a window")
    hours: float = Field(
        24.0, ge=0, le=8760, description="hours that a window spans at least; a day, so that night is not beside noon"
    )
    texts: int = Field(500, ge=50, le=10_000, description="questions of a window that are embedded at most")
    alpha: float = Field(0.001, ge=0.0001, le=0.05, description="largest p-value of a drift, for each kind of check")
    ks: float = Field(0.15, gt=0, le=1, description="limit for words, characters, turns and nearness to the seeds")
    psi: float = Field(0.1, gt=0, description="limit for the same, above what chance makes")
    kl: float = Field(0.05, gt=0, description="limit for the intents in nats, above what chance makes")
    distance: float = Field(0.005, gt=0, le=1, description="limit for the energy distance of the embeddings")


class Asked(NamedTuple):
    """A question with what it wanted, and when it was asked, in seconds since 1970."""

    at: float
    sample: Sample


class Window(NamedTuple):
    """Questions from one moment to another, both of them included."""

    since: float
    until: float
    side: Side


def window_of(asked: Iterable[Asked], settings: Drift) -> Window | None:
    """The first whole window of `asked`, which are in the order of time; None where they are too few or too fast."""
    side = Side(settings.texts, seed=0)
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


def drifted(recent: Side, before: Side, seeds: Sequence[str], settings: Drift, embed: Embed) -> list[Finding]:
    """What tells `recent` from `before`; empty where nothing does.

    KS and PSI of lengths and of each question's cosine to the nearest of `seeds`, the G-test of the intents, the energy
    distance of the embeddings: `quality/batch` has them. What nobody asked before is named as something known, so that
    intents alone would not show it; far from all seeds it is. Where nothing changed, each of the four is wrong in at
    most `alpha` of the windows.
    """
    for side in (recent, before) if seeds else ():
        side.tell(NEAREST, (embed(side.texts) @ embed(seeds).T).max(axis=1))
    batch = Batch(
        alpha=settings.alpha,
        numbers=NumberChecks(ks=settings.ks, psi=settings.psi),
        distance=DistanceCheck(limit=settings.distance, permutations=round(10 / settings.alpha)),
        mix=MixChecks(kl=settings.kl),
    )
    target = Target(shares_of(before.categories), before.categories)
    report = check(recent, before, batch, embed, target, seed=0).report
    return [one for one in report.of("warn") if one.check in LOOKED_AT]


def sentence_of(finding: Finding) -> str:
    """A finding for people."""
    of = "intents" if finding.check == "kl" else finding.of
    said = "" if finding.check == "distance" else f"; {finding.said}"  # of that only how many components there are
    return f"{of.capitalize()}: {NAMED[finding.check]} {finding.value:.3g}, limit {finding.threshold:.3g}{said}."
