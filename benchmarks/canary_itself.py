"""The same simulated trials, given request by request to the Canary itself."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from wheelwork.core.serving.canary.assigning import Places
from wheelwork.core.serving.canary.canary import Canary
from wheelwork.core.serving.canary.settings import CanarySettings
from wheelwork.core.serving.canary.state import State
from wheelwork.core.serving.exchange import Exchange, Feedback

from .canary_simulations import Ended
from .canary_worlds import Crowd, Requests, World


class Drawn(Places):
    """Places that the simulation draws; each is remembered under a number of its own."""

    def __init__(self) -> None:
        super().__init__("simulated", "2")
        self.drawn: dict[str, float] = {}
        self._order: dict[str, int] = {}

    def number(self, sticky: str) -> int:
        own = self._order.setdefault(sticky, len(self._order))
        return (int(self.drawn[sticky] * 2**53) << 11) & ~((1 << 17) - 1) | own


class Kept(State):
    """State that is kept nowhere: a simulation is not killed."""

    def write(self, text: str) -> None:
        pass

    def as_text(self, remembered: object) -> str:
        return ""


class Itself:
    """One Canary and one world."""

    def __init__(self, world: World, limits: CanarySettings) -> None:
        self.world, self.limits = world, limits
        self.places, self.coins = Drawn(), Drawn()
        self.now = 0.0

    def __call__(self, random: np.random.Generator, most: int) -> Ended:
        """How a trial of at most so many requests ends; the same random numbers make the same requests."""
        with self._canary() as canary:
            crowd, done, trial = Crowd(self.world, random), 0, canary.remembered.trial
            while trial is not None:
                if done >= most:
                    return Ended("open", done, stage=trial.stage)
                requests, stage = crowd.more(), trial.stage
                for row in range(len(requests.who)):
                    self._request(canary, requests, row)
                    done += 1
                    if trial.status == "leaving":
                        kinds = [one for one in canary.remembered.decisions if one.act == "roll_back"][-1].figures
                        kind = max(kinds, key=lambda one: kinds[one]["harm"] or 0)
                        return Ended("rolled_back", done, kind, stage)
                    canary.decide()
                    if canary.remembered.trial is None:
                        return Ended("everybody", done, stage=len(self.limits.plan))
                    if trial.stage != stage:
                        break  # the rest of the chunk is not asked, as over arrays
        raise AssertionError("a trial begins where a version is promoted")

    @contextmanager
    def _canary(self) -> Iterator[Canary]:
        with tempfile.TemporaryDirectory() as folder:
            state = Kept(Path(folder), "simulated")
            canary = Canary("simulated", self.limits, state, lambda: self.now, lambda *_: True,
                            places=lambda loop, candidate, purpose: self.coins if purpose else self.places)  # fmt: skip
            canary.champion_moved(None, "1", "start")
            canary.champion_moved("1", "2", "promote")
            yield canary

    def _request(self, canary: Canary, requests: Requests, row: int) -> None:
        who = f"{'u' if self.world.users else 'r'}{requests.who[row]}"
        self.places.drawn[who], self.coins.drawn[who] = float(requests.place[row]), float(requests.coin[row])
        routed = canary.route(who)
        arm = int(routed.role == "candidate")
        self.now += 1e-3
        exchange = Exchange(
            id=who if not self.world.users else f"{who}-{self.now}", at=self.now, loop="simulated",
            version=routed.version, role=routed.role, user=who if self.world.users else "", messages=(), reply="",
            status=500 if requests.failed[row, arm] else 200, latency=float(requests.latency[row, arm]),
        )  # fmt: skip
        canary.observe(exchange)
        while (sampled := canary.next_to_judge()) is not None:
            canary.judged(sampled, float(requests.judged[row, arm]))
        if requests.spoke[row]:
            thumb = "down" if requests.displeased[row, arm] else "up"
            canary.feedback(exchange, Feedback(exchange=exchange.id, at=self.now, thumb=thumb))
