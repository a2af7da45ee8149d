"""Who answers whom at present: all that routing needs, made once and replaced as a whole."""

from collections.abc import Sequence
from typing import NamedTuple

from ..exchange import BASE
from ..parts import Routed
from .assigning import MakePlaces, Places
from .settings import Stage
from .trial import Remembered


class Routing(NamedTuple):
    """The stable version, and of a trial the candidate, its share, and the places of all who ask.

    In a shadow stage `mirrored` is set, and the share is that of the requests which the candidate is shown.
    """

    stable: str
    candidate: str | None = None
    share: float = 0.0
    places: Places | None = None
    mirrored: Places | None = None

    def __call__(self, sticky: str) -> Routed:
        """Who answers the request of `sticky`, and who is asked beside it."""
        if self.mirrored is not None:
            seen = self.mirrored(sticky) < self.share
            return Routed(self.stable, "champion", self.candidate if seen else None)
        if self.candidate is not None and self.places is not None and self.places(sticky) < self.share:
            return Routed(self.candidate, "candidate")
        return Routed(self.stable, "champion")

    @property
    def versions(self) -> set[str]:
        """Those that must be live."""
        return {self.stable} | ({self.candidate} if self.candidate is not None else set())


def routing_of(loop: str, told: Remembered, plan: Sequence[Stage], places: MakePlaces = Places) -> Routing:
    """How requests are routed with what is remembered."""
    trial = told.trial
    if trial is None:
        return Routing(told.champion or BASE)
    if trial.status == "leaving":
        return Routing(trial.stable)
    stage = plan[trial.stage]
    if stage.kind == "shadow":
        # a key of its own: who was mirrored says nothing of who is in at the next stage
        return Routing(trial.stable, trial.candidate, stage.share, mirrored=places(loop, trial.candidate, "shadow"))
    return Routing(trial.stable, trial.candidate, stage.share, places=places(loop, trial.candidate, ""))
