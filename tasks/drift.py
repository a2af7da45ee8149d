"""Whether users ask otherwise than they did, and who is told; `core/traffic/drift.py` says how that is seen."""

import math
import time
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple, Self

from prefect import task

from ..core.loops import Loop, load_loop
from ..core.people.nearest_mean import NearestMean
from ..core.people.traffic import model_of
from ..core.pool.store import Pool
from ..core.quality.batch.findings import Finding
from ..core.quality.batch.remembered import Remembered
from ..core.quality.batch.sides import Side
from ..core.rounds import Site
from ..core.samples import Sample, Turn
from ..core.serving.exchange import Exchange
from ..core.traffic.archive import Archive, Mark
from ..core.traffic.drift import (
    HOUR,
    Drift,
    Timed,
    Window,
    drifted,
    left_of,
    measured,
    sentence_of,
    window_of,
)
from ..core.traffic.reaching import reached
from ..core.traffic.retention import DAY
from ..core.traffic.said import question_of
from ..core.traffic.told import Part
from .events import announce
from .notify import tell_drift
from .sift import load_encoder
from .steps import RETRIED, recorded

MARKED = "drift"
AT_ONCE = 10  # windows that one collection looks at: the next one goes on


class LookedAt(NamedTuple):
    """Up to when questions were looked at, and from when to when those were asked that they are held against."""

    until: float
    reference: tuple[float, float] | None = None

    @classmethod
    def of(cls, archive: Archive, loop: str, oldest: float) -> Self:
        """As it was marked; without a mark nothing was, from `oldest` on."""
        marks = archive.marks(loop, MARKED)
        if "until" not in marks:
            return cls(oldest)
        since, until = map(float, marks["reference"].split())
        return cls(float(marks["until"]), (since, until))


@task(**recorded("look_for_drift"), **RETRIED)
def look_for_drift(site: Site) -> Part:
    """Hold each whole window of questions against the reference, and tell where it drifted.

    The reference is the first window, or the one that drifted last; where most of that was deleted, the oldest that is
    still there. Killed half-way, the same window is told under the same key.
    """
    loop = load_loop(site.loop)
    traffic = loop.settings.serve.traffic
    settings = traffic.drift
    if settings is None or traffic.no_drift:
        return Part(notes=(f"serve.traffic: {traffic.no_drift}.",) if traffic.no_drift else ())
    looked, notes = 0, dict[str, None]()
    with reached(site.home) as archive:
        looking = _Looking(site, loop, archive, settings)
        while looked < AT_ONCE and (window := looking.next_window()) is not None:
            findings = looking.findings(window)
            told = [sentence_of(one) for one in findings if one.outcome == "warn"]
            if told:
                told.insert(0, f"Users ask otherwise: {window.side.rows:,} questions from {_utc(window.since)} on.")
                key = repr(window.until)
                announce("drift.detected", site, loop.name, key, reasons=" ".join(told))
                tell_drift(site.home, loop.settings, told, key)
            notes |= dict.fromkeys([*told, *(sentence_of(one) for one in findings if one.outcome == "unknown")])
            looking.done(window, drifted=bool(told))
            looked += 1
    return Part(figures={"windows of questions looked at for drift": looked}, notes=tuple(notes))


class _Looking:
    def __init__(self, site: Site, loop: Loop, archive: Archive, settings: Drift) -> None:
        self._site, self._loop, self._archive, self._settings = site, loop, archive, settings
        self._embed = Remembered(None, lambda: load_encoder(loop))  # the reference is embedded once
        # beyond it only what users spoke of is kept, which is not as all else
        self._oldest = time.time() - loop.settings.serve.traffic.days * DAY
        self._seen = LookedAt.of(archive, loop.name, self._oldest)

    def next_window(self) -> Window | None:
        """The first window that nobody looked at, once it is whole."""
        since = max(self._seen.until, self._oldest)
        rows, seconds = self._archive.asked_since(self._loop.name, since)
        if rows < self._settings.rows or seconds < self._settings.hours * HOUR:
            return None  # without reading a day's questions every ten minutes
        return window_of(self._asked(since), self._settings)

    def findings(self, window: Window) -> list[Finding]:
        """What is found on `window`; nothing where there is none before it."""
        before = self._reference()
        if before is None:
            return []
        seeds = [seed.text for seed in self._loop.seeds]
        recent, before = (measured(one, seeds, self._model, self._embed) for one in (window.side, before))
        return drifted(recent, before, self._settings)

    def done(self, window: Window, drifted: bool) -> None:
        """Remember that `window` was looked at; where it drifted, those to come are held against it."""
        own = (window.since, window.until)
        reference = own if drifted or self._seen.reference is None else self._seen.reference
        self._seen = LookedAt(window.until, reference)
        marks = {"until": repr(window.until), "reference": " ".join(map(repr, reference))}
        self._archive.mark(self._loop.name, [Mark(MARKED, ref, said) for ref, said in marks.items()], time.time())

    @cached_property
    def _model(self) -> NearestMean | None:
        if not self._loop.labels:
            return None
        pool = Pool(self._site.home, self._loop.name)
        return model_of(self._loop, pool.view(pool.head()), pool, self._embed)

    def _reference(self) -> Side | None:
        if self._seen.reference is None:
            return None
        since, until = self._seen.reference
        if (left := left_of(self._asked(_before(since), until), self._settings)) is not None:
            return left
        oldest = window_of(self._asked(self._oldest, self._seen.until), self._settings)
        if oldest is None:
            self._seen = self._seen._replace(reference=None)
            return None
        self._seen = self._seen._replace(reference=(oldest.since, oldest.until))
        return oldest.side

    def _asked(self, since: float, until: float | None = None) -> Iterator[Timed]:
        for exchange in self._archive.questions(self._loop.name, since, until):
            sample = _sample(exchange)
            if sample is not None:
                yield Timed(exchange.at, sample)


def _sample(exchange: Exchange) -> Sample | None:
    question = question_of(exchange, {})
    if question is None:
        return None
    # what was answered before is of our own making: only how many turns there were is the users'
    before: list[Turn] = [(one.role, one.content if one.role == "user" else "") for one in question.history]
    return Sample.of_turns([*before, ("user", question.text)], task="traffic", origin="human")


def _before(moment: float) -> float:
    """The moment before, as `questions` are those after it."""
    return math.nextafter(moment, 0.0)


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
