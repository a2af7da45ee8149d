"""A trial and all that is remembered of it, as it stands in the state file."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, FiniteFloat

from ...settings import Setting
from .evidence import Evidence

Figures = dict[str, dict[str, FiniteFloat | None]]
LAST = 50  # decisions that are remembered here; the journal has all
DecisionAct = Literal["begin", "widen", "hold", "resume", "roll_back", "end"]


class Decision(Setting):
    """What was decided of a trial, by whom, and why."""

    at: float
    act: DecisionAct
    candidate: str
    stable: str
    stage: str = Field(description="the stage that it was taken in, in words")
    reason: str
    figures: Figures = Field({}, description="kind of outcome → its figures")
    by: str = Field("", description="the person who ordered it; empty: the evidence did")

    @property
    def sentence(self) -> str:
        """For the journal: what was done, then why."""
        done = {
            "begin": f"trial of version {self.candidate} against {named(self.stable)} begins",
            "widen": "widened",
            "hold": "held",
            "resume": "goes on",
            "roll_back": f"to be rolled back to {named(self.stable)}",
            "end": "trial over",
        }[self.act]
        who = f" by {self.by}" if self.by else ""
        return f"{self.stage}: {done}{who}" + (f": {self.reason}" if self.reason else "")


@dataclass(slots=True)
class Trial:
    """A candidate that some users have, while the rest have the stable version."""

    candidate: str
    stable: str
    begun: float
    since: float
    """When the present stage began, seconds since 1970."""
    stage: int = 0
    status: Literal["running", "held", "leaving"] = "running"
    """`leaving`: nobody gets the candidate any more, and the alias is to be moved back."""
    reason: str = ""
    """Why it is held or left."""
    unsure: bool = False
    """Whether it was written down that patience ended and the stage is held."""
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(slots=True)
class Remembered:
    """What a loop's canary knows; survives a kill."""

    known: bool = False
    """Whether it was ever told who is champion."""
    champion: str | None = None
    trial: Trial | None = None
    decisions: list[Decision] = field(default_factory=list)
    unwritten: list[Decision] = field(default_factory=list)
    """Decisions that the journal does not have yet."""
    orders: int = 0
    """How many lines of the file of orders were carried out or passed over."""
    looked: float = 0.0
    """When a gateway last looked."""
    trouble: str = ""
    """What went wrong last, in a sentence; empty: nothing."""

    def remember(self, decision: Decision) -> None:
        self.decisions = [*self.decisions, decision][-LAST:]
        self.unwritten.append(decision)


def named(version: str) -> str:
    return "the base" if version == "base" else f"version {version}"
