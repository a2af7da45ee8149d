"""The canary of one loop, as its host uses it: who answers whom, and when a candidate is widened or rolled back.

The alias `champion` is where the gate put it. When a promotion moves it, the version before stays *stable* and answers
most users, while the new one, the *candidate*, takes its share. At 100% the candidate is stable and the trial is over.
"""

import threading
from collections.abc import Callable

from ...errors import WheelworkError
from ..exchange import BASE, Exchange, Feedback
from ..parts import Health, Routed
from .assigning import MakePlaces, Places
from .evidence import Evidence
from .routing import routing_of
from .ruling import Ruling, rule
from .settings import CanarySettings
from .state import Order, State
from .taking import Intake, ToJudge
from .trial import Decision, DecisionAct, Remembered, Trial, named

Clock = Callable[[], float]
RollBack = Callable[[str, str, str], bool]
"""Moves the alias: (candidate that is to be left, stable version or `base`, reason). Whether it stands there now, and
not at a version that somebody promoted meanwhile. See `journaling.py`."""
WriteDown = Callable[[Decision], object]
"""Puts a decision into the journal."""

AGAIN = 10.0  # seconds until the journal or the alias is tried again
AT_REST = 5.0  # seconds after which it is written down that a gateway is looking, though nothing has changed


class Canary:
    """Routes the requests of `loop`, takes in what came of them, and decides.

    `route` takes microseconds, `observe` and `feedback` tens of them, from any thread; `decide`, to be called about
    once a second outside of the event loop, reads orders, writes files and moves the alias. What goes wrong with the
    journal or the alias is kept for `health` and tried again; it never reaches who routes.
    """

    def __init__(
        self, loop: str, settings: CanarySettings, state: State, clock: Clock, roll_back: RollBack,
        write_down: WriteDown = lambda decision: None, places: MakePlaces = Places,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.settings = settings
        self._state = state
        self._clock = clock
        self._roll_back = roll_back
        self._write_down = write_down
        self._lock = threading.RLock()
        self._plan = settings.plan
        self._places = places
        self._intake = Intake(loop, settings, places)
        self._told: Remembered = state.read()
        self._news: list[Decision] = []
        self._again = 0.0
        self._dirty = False
        trial = self._told.trial
        if trial is not None and trial.stage >= len(self._plan) and trial.status != "leaving":
            self._decided(trial, "end", "the stages in the settings are others now, and the trial is past them")
            self._told.trial = None
        self._routing = routing_of(loop, self._told, self._plan, places)

    @property
    def champion(self) -> str | None:
        """The champion as was last told; None is the base, or `known` is False. To be compared after a start."""
        return self._told.champion

    @property
    def known(self) -> bool:
        """Whether it was ever told who is champion."""
        return self._told.known

    @property
    def remembered(self) -> Remembered:
        """The trial and the decisions, to be read only."""
        return self._told

    def route(self, sticky: str) -> Routed:
        """Who answers the request of `sticky`, and who is asked beside it; `sticky` is `assigning.sticky_of` it."""
        return self._routing(sticky)

    def wanted(self) -> set[str]:
        """The versions that must be live; `base` for no adapter."""
        return self._routing.versions

    def champion_moved(self, before: str | None, after: str | None, kind: str) -> None:
        """Hear that the alias moved, by a move of the journal's `kind`. Told twice it is as told once.

        A promotion begins a trial; any other move ends one, and everybody gets `after` at once.
        """
        with self._lock:
            told, trial = self._told, self._told.trial
            if told.known and told.champion == after:
                return
            stable = trial.stable if trial is not None else before or BASE
            if trial is not None:
                back = trial.status == "leaving" and (after or BASE) == trial.stable
                now = named(after or BASE)
                why = f"{now} is champion again" if back else f"the champion was moved to {now} ({kind})"
                self._decided(trial, "end", why)
            told.known, told.champion, told.trial = True, after, None
            if kind == "promote" and after is not None and not self.settings.off and stable != after:
                begun = self._clock()
                told.trial = Trial(candidate=after, stable=stable, begun=begun, since=begun)
                self._decided(told.trial, "begin", "it was promoted")
            self._changed()

    def observe(self, exchange: Exchange) -> None:
        """Take in what came of a request; of no account where it is not part of the trial's present stage.

        Where that shows harm nobody gets the candidate from then on; the alias follows with the next `decide`.
        """
        with self._lock:
            trial = self._told.trial
            if trial is not None and self._intake.observe(trial, self._routing, exchange):
                self._looked(trial)

    def feedback(self, exchange: Exchange, feedback: Feedback) -> None:
        """Take in what a user said of an answer."""
        with self._lock:
            trial = self._told.trial
            if trial is not None and self._intake.feedback(trial, self._routing, exchange, feedback):
                self._looked(trial)

    def next_to_judge(self) -> ToJudge | None:
        """An exchange that waits for the judge; None when none does."""
        with self._lock:
            return self._intake.to_judge.popleft() if self._intake.to_judge else None

    def judged(self, sampled: ToJudge, score: float | None) -> None:
        """Take in the judge's score in [0, 1]; None, as where it did not answer, counts for nothing."""
        with self._lock:
            trial = self._told.trial
            if trial is not None and self._intake.judged(trial, sampled, score):
                self._looked(trial)

    def decide(self) -> list[Decision]:
        """Carry out orders, then what the evidence says; returns what was decided since it was last called.

        Raises WorkspaceError where the state cannot be written, and DataError for a damaged file of orders.
        """
        orders = self._state.orders()
        with self._lock:
            for order in orders[self._told.orders :]:
                self._carry_out(order)
                self._dirty = True
            self._told.orders = len(orders)
            trial = self._told.trial
            if trial is not None and trial.status != "leaving":
                self._follow(trial, self._rule(trial))
            news, self._news = self._news, []
            if news:
                self._changed()
        self._keep()
        self._act()
        return news

    @property
    def waiting(self) -> bool:
        """Whether replies wait for the judge."""
        return bool(self._intake.to_judge)

    def ruling(self) -> Ruling | None:
        """What the evidence says at this moment; None without a trial."""
        with self._lock:
            trial = self._told.trial
            return None if trial is None else self._rule(trial)

    def health(self) -> Health:
        """Degraded while the journal or the alias could not be written."""
        return Health("canary", "degraded" if self._told.trouble else "ok", self._told.trouble)

    def close(self) -> None:
        """Keep what was taken in since the last look."""
        self._dirty = True
        self._keep()

    # what is decided

    def _rule(self, trial: Trial) -> Ruling:
        return rule(trial.evidence, self.settings, self._clock() - trial.since)

    def _looked(self, trial: Trial) -> None:
        """After every request: leave the candidate at once where harm is shown."""
        self._dirty = True
        if trial.evidence.harmful(self.settings):
            self._follow(trial, self._rule(trial))
            self._changed()

    def _follow(self, trial: Trial, ruling: Ruling) -> None:
        if ruling.act == "roll_back":
            self._leave(trial, ruling.reason, ruling)
        elif ruling.act == "widen" and trial.status == "running":
            self._widen(trial, ruling.reason, ruling)
        elif ruling.unproven and not trial.unsure and trial.status == "running":
            trial.unsure = True
            self._decided(trial, "hold", ruling.reason, ruling)

    def _carry_out(self, order: Order) -> None:
        """Do what a person ordered; an order for another trial is passed over."""
        trial = self._told.trial
        if trial is None or trial.candidate != order.candidate or trial.status == "leaving":
            return
        ruling = self._rule(trial)
        if order.act == "widen":
            trial.status, trial.reason = "running", ""
            self._widen(trial, order.reason, ruling, order.by, order.everybody)
        elif order.act == "stop":
            why = f"{order.by} stopped the trial"
            self._leave(trial, f"{why}: {order.reason}" if order.reason else why, ruling, order.by)
        elif (order.act == "hold") != (trial.status == "held"):
            trial.status, trial.reason = ("held", order.reason) if order.act == "hold" else ("running", "")
            self._decided(trial, order.act, order.reason, ruling, order.by)

    def _widen(self, trial: Trial, reason: str, ruling: Ruling, by: str = "", everybody: bool = False) -> None:
        after = len(self._plan) if everybody else trial.stage + 1
        whom = self._plan[after].in_words if after < len(self._plan) else "everybody"
        self._decided(trial, "widen", f"next {whom}" + (f": {reason}" if reason else ""), ruling, by)
        if after < len(self._plan):
            trial.stage, trial.since, trial.unsure, trial.evidence = after, self._clock(), False, Evidence()
        else:
            self._told.trial = None

    def _leave(self, trial: Trial, reason: str, ruling: Ruling, by: str = "") -> None:
        """Give everybody the stable version now; the alias follows in `_act`."""
        trial.status, trial.reason = "leaving", reason
        self._decided(trial, "roll_back", reason, ruling, by)

    def _decided(self, trial: Trial, act: DecisionAct, reason: str, ruling: Ruling | None = None, by: str = "") -> None:
        stage = self._plan[trial.stage].in_words if trial.stage < len(self._plan) else "everybody"
        self._dirty = True
        decision = Decision(
            at=self._clock(), act=act, candidate=trial.candidate, stable=trial.stable, stage=stage, reason=reason,
            figures=ruling.figures if ruling else {}, by=by,
        )  # fmt: skip
        self._told.remember(decision)
        self._news.append(decision)

    # what is written

    def _changed(self) -> None:
        self._dirty = True
        self._intake.to_judge.clear()
        self._routing = routing_of(self.loop, self._told, self._plan, self._places)

    def _keep(self) -> None:
        with self._lock:
            now, told = self._clock(), self._told
            if not self._dirty and (told.trial is None or now - told.looked < AT_REST):
                return
            told.looked, self._dirty = now, False
            text = self._state.as_text(told)
        self._state.write(text)  # observing goes on meanwhile

    def _act(self) -> None:
        """Write decisions into the journal and move the alias back; what fails is tried again later."""
        told = self._told
        leaving = told.trial if told.trial is not None and told.trial.status == "leaving" else None
        if self._clock() < self._again or not (told.unwritten or leaving):
            return
        told.trouble = ""
        try:
            while told.unwritten:
                self._write_down(told.unwritten[0])
                told.unwritten.pop(0)
        except WheelworkError as error:
            self._troubled("the journal does not have the last decisions on the trial yet", error)
        if leaving is not None:
            self._move_back(leaving)
        self._dirty = True
        self._keep()

    def _move_back(self, trial: Trial) -> None:
        try:
            if not self._roll_back(trial.candidate, trial.stable, trial.reason):
                self._again = self._clock() + AGAIN
                return  # the host is about to hear of another champion, which ends the trial
        except WheelworkError as error:
            said = f"everybody gets {named(trial.stable)}, but the champion could not be moved back yet"
            self._troubled(said, error)
            return
        with self._lock:
            if self._told.trial is trial:  # else the host was quicker to hear of it
                self._told.trial = None
                self._told.champion = None if trial.stable == BASE else trial.stable
                self._changed()

    def _troubled(self, what: str, error: WheelworkError) -> None:
        self._told.trouble = f"{what}: {error}"
        self._again = self._clock() + AGAIN
