"""A canary with a clock that is set by hand, effects that are counted, and requests that are told in a line."""

from pathlib import Path
from typing import Any

from wheelwork.core.errors import DependencyError
from wheelwork.core.serving.canary.assigning import Places, sticky_of
from wheelwork.core.serving.canary.canary import Canary
from wheelwork.core.serving.canary.settings import CanarySettings
from wheelwork.core.serving.canary.state import Order, State
from wheelwork.core.serving.exchange import Exchange, Feedback

LOOP = "router"


class Service:
    """A gateway's view of one loop; version 1 is champion, and 2 is promoted by `promoted`."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.settings = CanarySettings.model_validate({"min_minutes": 0, **settings})
        self.now = 1_000_000.0
        self.moved: list[tuple[str, str, str]] = []
        self.written: list[str] = []
        self.down = self.overtaken = False
        self.count = 0
        self.start()

    def start(self) -> None:
        """A gateway starts; what one before it kept in memory is lost."""
        state = State(self.home, LOOP)
        self.canary = Canary(LOOP, self.settings, state, lambda: self.now, self._roll_back, self._write)

    def promoted(self, before: str | None = "1") -> "Service":
        self.canary.champion_moved(None, before, "start")
        self.canary.champion_moved(before, "2", "promote")
        return self

    def ask(self, user: str = "", **told: Any) -> Exchange:
        """One request of `user`, routed, answered as `told`, and observed; returns what was heard."""
        self.now += 0.01
        self.count += 1
        id = f"chatcmpl-{self.count}"
        routed = self.canary.route(sticky_of(user, "", id))
        heard = self.exchange(id, routed.version, routed.role, user, **told)
        self.canary.observe(heard)
        if routed.shadow is not None:
            mirror = self.exchange(f"{id}-s", routed.shadow, "shadow", user, shadow_of=id, **told)
            self.canary.observe(mirror)
        return heard

    def exchange(self, id: str, version: str, role: Any, user: str = "", **told: Any) -> Exchange:
        """An exchange whose `failing` is the version that fails."""
        bad = told.pop("failing", "") == version
        given = {"messages": (), "reply": "" if bad else "yes", "latency": 0.5, "status": 500 if bad else 200}
        return Exchange(id=id, at=self.now, loop=LOOP, version=version, role=role, user=user, **{**given, **told})

    def many(self, count: int, **told: Any) -> None:
        """Requests of as many different users."""
        for _ in range(count):
            self.ask(f"user {self.count}", **told)

    def say(self, exchange: Exchange, **said: Any) -> None:
        self.canary.feedback(exchange, Feedback(exchange=exchange.id, at=self.now, **said))

    def order(self, act: Any, candidate: str = "2", **told: Any) -> None:
        """A person's command in another process."""
        State(self.home, LOOP).order(Order(at=self.now, by="ann", act=act, candidate=candidate, **told))

    def acts(self) -> list[str]:
        """What is decided now."""
        return [one.act for one in self.canary.decide()]

    @property
    def stage(self) -> int | None:
        trial = self.canary.remembered.trial
        return None if trial is None else trial.stage

    def places(self, purpose: str = "") -> Places:
        return Places(LOOP, "2", purpose)

    def _roll_back(self, candidate: str, stable: str, reason: str) -> bool:
        self._reach()
        self.moved.append((candidate, stable, reason))
        return not self.overtaken

    def _write(self, decision: Any) -> None:
        self._reach()
        self.written.append(decision.sentence)

    def _reach(self) -> None:
        if self.down:
            raise DependencyError("MLflow does not answer")
