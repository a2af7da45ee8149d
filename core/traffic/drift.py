"""Whether users ask otherwise than they did: windows of questions, and one of them beside an earlier one.

window = window_of(asked, settings)                      the first whole one
recent = measured(window.side, seeds, model, embed)      and likewise what it is held against
findings = drifted(recent, before, settings)             those that warn are the drift
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import Field

from ..people.nearest_mean import NearestMean
from ..quality.batch.distance import DistanceCheck
from ..quality.batch.findings import NAMES, Finding
from ..quality.batch.mix import Counts, MixChecks, Target, shares_of
from ..quality.batch.numbers import NumberChecks
from ..quality.batch.sides import Embed, Side, Vectors
from ..samples import Sample
from ..settings import Setting

HOUR = 3600.0
FEWEST = 20  # rows of either side that a check takes
NEAREST = "nearness to the seeds"


class Drift(Setting):
    """When two windows of questions are told apart. Each needs a small p-value and more than its limit."""

    rows: int = Field(200, ge=50, le=100_000, description="fewest questions of a window")
    hours: float = Field(
        24.0, ge=0, le=8760, description="hours that a window spans at least; a day, so that night is not beside noon"
    )
    texts: int = Field(500, ge=50, le=10_000, description="questions of a window that are embedded at most")
    alpha: float = Field(0.001, ge=0.0005, le=0.05, description="a drift has a smaller p-value; for each kind of check")
    ks: float = Field(0.15, gt=0, le=1, description="limit for words, characters, turns and nearness to the seeds")
    psi: float = Field(0.1, gt=0, description="limit for the same, above what chance makes")
    kl: float = Field(0.05, gt=0, description="limit for the intents in nats, above what chance makes")
    distance: float = Field(0.005, gt=0, le=1, description="limit for the energy distance of the embeddings")


class Timed(NamedTuple):
    """A question, and when it was asked, in seconds since 1970."""

    at: float
    sample: Sample


class Window(NamedTuple):
    """Questions from one moment to another, both of them included."""

    since: float
    until: float
    side: Side


class Measured(NamedTuple):
    """What is compared of a window: numbers of every question; of those that were drawn embeddings and intents."""

    side: Side
    vectors: Vectors  # (n, d)
    intents: Counts | None  # None where the task has no labels


def window_of(asked: Iterable[Timed], settings: Drift) -> Window | None:
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


def left_of(asked: Iterable[Timed], settings: Drift) -> Side | None:
    """What is left of a window that some questions were deleted of; None where that is less than half of `rows`."""
    side = Side(settings.texts, seed=0)
    side.add(one.sample for one in asked)
    return side if side.rows >= max(settings.rows / 2, FEWEST) else None


def measured(side: Side, seeds: Sequence[str], model: NearestMean | None, embed: Embed) -> Measured:
    """Measure the questions of `side`. Both sides of a comparison are measured by the same `model` and `embed`.

    What nobody asked before goes by the name of a known label, so intents alone would not show it; far from all `seeds`
    it is.
    """
    vectors = embed(side.texts)
    if seeds:
        side.add_feature(NEAREST, (vectors @ embed(seeds).T).max(axis=1))
    if model is None:
        return Measured(side, vectors, None)
    found = model.probabilities(vectors).argmax(axis=1).tolist()
    return Measured(side, vectors, Counter(model.labels[at] for at in found))


def drifted(recent: Measured, before: Measured, settings: Drift) -> list[Finding]:
    """KS and PSI of the numbers, the G-test of the intents, the energy distance of the embeddings.

    What does not vary on either side has no finding. Where nothing changed, each of the four warns in less than `alpha`
    of the windows.
    """
    alpha, numbers = settings.alpha, NumberChecks(ks=settings.ks, psi=settings.psi)
    distance = DistanceCheck(limit=settings.distance, permutations=round(10 / alpha))
    findings = numbers(recent.side, before.side, alpha, FEWEST)
    if recent.intents is not None and before.intents is not None and len({*recent.intents, *before.intents}) > 1:
        target = Target(shares_of(before.intents), before.intents)
        mix = MixChecks(kl=settings.kl)(recent.intents, target, "labels", alpha, FEWEST, seed=0)
        findings += [one for one in mix if one.check == "kl"]
    return [*findings, distance(recent.vectors, before.vectors, alpha, FEWEST, seed=0)[0]]


def sentence_of(finding: Finding) -> str:
    """A finding for people."""
    of = ("intents" if finding.check == "kl" else finding.of).capitalize()
    if finding.value is None or finding.threshold is None:
        return f"{of} were not compared: {finding.said}."
    name = "KL" if finding.check == "kl" else NAMES[finding.check]
    said = "" if finding.check == "distance" else f"; {finding.said}"  # of that only how many components there are
    return f"{of}: {name} {finding.value:.3g}, limit {finding.threshold:.3g}{said}."


def _whole(rows: int, seconds: float, settings: Drift) -> bool:
    return rows >= settings.rows and seconds >= settings.hours * HOUR
