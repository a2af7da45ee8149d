"""Taking in what came of requests: which arm an exchange belongs to, for whom it counts, and what it says."""

from collections import deque
from typing import NamedTuple

from ..exchange import Exchange, Feedback
from .assigning import MakePlaces, Places, asker
from .evidence import Seen
from .outcomes import displeasure, failed
from .routing import Routing
from .settings import CanarySettings, Stage
from .trial import Trial

WAITING = 200  # exchanges that wait for the judge


class ToJudge(NamedTuple):
    """An exchange that was sampled for the judge, whose it is, and the chance that it would be the candidate's."""

    exchange: Exchange
    candidate: bool
    share: float
    since: float


class Unit(NamedTuple):
    """Whom an exchange counts for, and the chance that it is the candidate's.

    `number` is 64 uniform bits by which it is remembered that it counted; None for a request of nobody.
    """

    who: str
    number: int | None
    share: float

    def first(self, seen: Seen) -> bool:
        """Whether this is the first time, which is remembered."""
        return self.number is None or seen.first(self.number)


class Intake:
    """What exchanges and feedback add to the evidence of a trial's present stage."""

    def __init__(self, loop: str, settings: CanarySettings, places: MakePlaces = Places) -> None:
        self._loop = loop
        self._settings = settings
        self._places = places
        self._plan = settings.plan
        self.to_judge: deque[ToJudge] = deque()

    def observe(self, trial: Trial, routing: Routing, exchange: Exchange) -> bool:
        """Take in what came of a request; False where it is not part of the stage, or says nothing."""
        candidate, bad = self._arm(trial, routing, exchange), failed(exchange)
        if candidate is None or bad is None or exchange.cached:
            return False
        stage, evidence, limits = self._plan[trial.stage], trial.evidence, self._settings
        evidence.brake.add(candidate, stage.share, bad, limits.collapse)
        unit = self._unit(stage, routing, exchange, candidate)
        if unit is not None and not unit.first(evidence.asked):
            unit = None  # counted already
        if unit is not None:
            evidence.errors.add(candidate, unit.share, float(bad), limits.errors.tolerance, limits.errors.margin)
            if not bad:
                self._sample(trial, exchange, candidate, unit)
        if not bad:
            share = unit.share if unit is not None else None
            evidence.take_latency(candidate, share, exchange.latency, limits.latency)
        return True

    def feedback(self, trial: Trial, routing: Routing, exchange: Exchange, feedback: Feedback) -> bool:
        """Take in what a user said of an answer; the first word of each user in a stage counts. False where none does.

        Nobody has heard the candidate in a shadow stage, so nothing is compared there.
        """
        candidate, bad = self._arm(trial, routing, exchange), displeasure(feedback)
        if candidate is None or bad is None or routing.mirrored is not None:
            return False
        unit = self._unit(self._plan[trial.stage], routing, exchange, candidate)
        if unit is None or not unit.first(trial.evidence.answered):
            return False
        limits = self._settings.feedback
        trial.evidence.feedback.add(candidate, unit.share, bad, limits.tolerance, limits.margin)
        return True

    def judged(self, trial: Trial, sampled: ToJudge, score: float | None) -> bool:
        """Take in a judge's score in [0, 1]; False where there is none, or the stage that it belongs to is over."""
        if score is None or not 0 <= score <= 1 or trial.since != sampled.since:
            return False
        limits = self._settings.judge
        trial.evidence.judge.add(sampled.candidate, sampled.share, 1 - score, limits.tolerance, limits.margin)
        return True

    def _arm(self, trial: Trial, routing: Routing, exchange: Exchange) -> bool | None:
        """Whether an exchange is the candidate's; None where it is in neither arm, or began before the stage."""
        if trial.status == "leaving" or exchange.at < trial.since:
            return None
        mirrored = routing.mirrored
        if exchange.version == trial.candidate:
            return True if exchange.role == ("candidate" if mirrored is None else "shadow") else None
        if exchange.version != trial.stable or exchange.role != "champion":
            return None
        if mirrored is not None and mirrored(asker(exchange)) < routing.share:
            return None  # its mirror image stands for it
        return False

    def _unit(self, stage: Stage, routing: Routing, exchange: Exchange, candidate: bool) -> Unit | None:
        """Whom an exchange counts for; None where that is no draw: users who were in before this stage stay in.

        A request of nobody is drawn by itself.
        """
        places = routing.mirrored if routing.mirrored is not None else routing.places
        if places is None:
            return None
        sticky, once = asker(exchange), self._counted_once(exchange)
        if not (exchange.user or exchange.conversation):
            return Unit(sticky, None, stage.share)
        number = places.number(sticky)
        place = places.of(number)
        if place < stage.before or (place < stage.share) != candidate:
            return None
        return Unit(once, number if once == sticky else places.number(once), stage.moved)

    def _counted_once(self, exchange: Exchange) -> str:
        """What counts once in a stage, by the settings."""
        own = exchange.shadow_of or exchange.id
        if self._settings.unit == "request":
            return own
        if self._settings.unit == "conversation":
            return exchange.conversation or exchange.user or own
        return exchange.user or exchange.conversation or own

    def _sample(self, trial: Trial, exchange: Exchange, candidate: bool, unit: Unit) -> None:
        """Draw who is read by the judge: of both arms as many, so that a sampled one is the candidate's half the time.

        The draw depends on who asked alone, so that it cannot favour an arm.
        """
        share = self._settings.judge.share
        if not share or len(self.to_judge) >= WAITING:
            return
        drawn = self._places(self._loop, trial.candidate, f"judge {trial.stage}")(unit.who)
        ratio = unit.share / (1 - unit.share)  # candidates for each of the others
        if drawn < share * (min(1.0, 1 / ratio) if candidate else min(1.0, ratio)):
            self.to_judge.append(ToJudge(exchange, candidate, 0.5, trial.since))
