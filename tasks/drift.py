"""Whether users ask otherwise than they did, and who is told; `core/traffic/drift.py` says how that is seen."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

from prefect import task

from ..core.loops import Loop, load_loop
from ..core.quality.batch.remembered import Remembered
from ..core.quality.batch.sides import Embed
from ..core.rounds import Site
from ..core.samples import Sample
from ..core.serving.exchange import Exchange
from ..core.traffic.archive import Archive, Mark
from ..core.traffic.drift import HOUR, Asked, Drift, Window, drifted, sentence_of, window_of
from ..core.traffic.reaching import reached
from ..core.traffic.said import question_of
from ..core.traffic.told import Part
from .events import announce
from .notify import tell_drift
from .sift import load_encoder
from .steps import RETRIED, recorded

MARKED = "drift"
AT_ONCE = 10  # windows that one collection looks at: the next one goes on


class Seen(NamedTuple):
    """How far questions were looked at, and between which moments those lie that they are held against."""

    until: float = 0.0
    reference: tuple[float, float] | None = None

    @classmethod
    def of(cls, archive: Archive, loop: str) -> Self:
        marks = archive.marks(loop, MARKED)
        if "until" not in marks:
            return cls()
        since, until = map(float, marks["reference"].split())
        return cls(float(marks["until"]), (since, until))

    def keep(self, archive: Archive, loop: str) -> None:
        assert self.reference is not None
        marks = [("until", repr(self.until)), ("reference", " ".join(map(repr, self.reference)))]
        archive.mark(loop, [Mark(MARKED, ref, outcome) for ref, outcome in marks], time.time())


@task(**recorded("look_for_drift"), **RETRIED)
def look_for_drift(site: Site) -> Part:
    """Hold each whole window of questions against the reference, and tell where it drifted.

    The reference is the first window, or the one that drifted last. It goes with its texts: where too few of it are
    kept still, the next window takes its place. Killed half-way, the same window is told under the same key.
    """
    loop = load_loop(site.loop)
    settings = loop.settings.serve.traffic.drift
    if settings is None:
        return Part()
    looked, notes = 0, list[str]()
    embed = Remembered(None, lambda: load_encoder(loop))  # the reference is embedded once
    with reached(site.home) as archive:
        while looked < AT_ONCE and (found := _next(archive, loop, settings)) is not None:
            seen, window = found
            before = _reference(archive, loop, settings, seen)
            reasons = [] if before is None else _reasons(loop, settings, window, before, embed)
            if reasons:
                key = repr(window.until)
                announce("drift.detected", site, loop.name, key, reasons=" ".join(reasons))
                tell_drift(site.home, loop.settings, reasons, key)
                notes += reasons
            own = (window.since, window.until)
            kept = own if before is None or reasons else seen.reference
            Seen(window.until, kept).keep(archive, loop.name)
            looked += 1
    return Part(figures={"windows of questions looked at for drift": looked}, notes=tuple(notes))


def _next(archive: Archive, loop: Loop, settings: Drift) -> tuple[Seen, Window] | None:
    """The first window that nobody looked at, once it is whole."""
    seen = Seen.of(archive, loop.name)
    rows, seconds = archive.asked_since(loop.name, seen.until)
    if rows < settings.rows or seconds < settings.hours * HOUR:
        return None  # without reading a day's questions every ten minutes
    window = window_of(_asked(archive, loop, seen.until), settings)
    return None if window is None else (seen, window)


def _reference(archive: Archive, loop: Loop, settings: Drift, seen: Seen) -> Window | None:
    if seen.reference is None:
        return None
    since, until = seen.reference
    # from a moment before, as it begins after what it is given
    asked = _asked(archive, loop, math.nextafter(since, 0.0), until)
    return window_of(asked, settings)


def _asked(archive: Archive, loop: Loop, since: float, until: float | None = None) -> Iterator[Asked]:
    for exchange, intent in archive.questions(loop.name, since, until):
        sample = _sample(exchange, intent, loop)
        if sample is not None:
            yield Asked(exchange.at, sample)


def _sample(exchange: Exchange, intent: str, loop: Loop) -> Sample | None:
    question = question_of(exchange, loop.material.passages)
    if question is None:
        return None
    turns = [*((turn.role, turn.content) for turn in question.history), ("user", question.text)]
    named = {"label": intent} if loop.labels else {"controls": {"category": intent}}
    return Sample.of_turns(turns, task="traffic", origin="human", **named)


def _reasons(loop: Loop, settings: Drift, window: Window, before: Window, embed: Embed) -> list[str]:
    seeds = [seed.text for seed in loop.seeds]
    found = drifted(window.side, before.side, seeds, settings, embed)
    if not found:
        return []
    first = (
        f"Users ask otherwise: {window.side.rows:,} questions from {_day(window.since)} on, beside "
        f"{before.side.rows:,} from {_day(before.since)} on."
    )
    return [first, *map(sentence_of, found)]


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"
