"""Stages of a trial, and how much harm of each kind is tolerated in it."""

from functools import cached_property
from itertools import pairwise
from math import log
from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, field_validator, model_validator

from ...settings import Setting

Kind = Literal["errors", "latency", "feedback", "judge", "collapse"]
ALL_KINDS: tuple[Kind, ...] = get_args(Kind)


class Errors(Setting):
    """Answers with a status of 500 or more, or broken off by the engine."""

    tolerance: float = Field(0.0, ge=0, le=0.5, description="rise of the share of failed requests that is no harm")
    margin: float = Field(0.03, gt=0, lt=1, description="rise that must be excluded before more users get it")


class Latency(Setting):
    """Seconds to the last byte, of answers that did not fail and are not from the cache."""

    tolerance: float = Field(0.1, ge=0, le=10, description="slower by this share is no harm: 0.1 is 10%")
    margin: float = Field(
        0.3, gt=0, le=20, description="slower by this share must be excluded before more users get it"
    )

    @model_validator(mode="after")
    def _in_order(self) -> "Latency":
        if self.margin <= self.tolerance:
            raise ValueError(f"margin ({self.margin:g}) must be more than tolerance ({self.tolerance:g})")
        return self


class Opinions(Setting):
    """Thumbs, ratings and corrections: 0 for a thumb up or a 5, 1 for a thumb down, a 1 or a correction."""

    tolerance: float = Field(0.0, ge=0, le=0.5, description="rise of the mean displeasure that is no harm")
    margin: float = Field(0.1, gt=0, lt=1, description="rise that must be excluded before more users get it")


class Judged(Setting):
    """Scores from 0 to 1 that a judge gives to sampled replies. Off while `share` is 0."""

    share: float = Field(0.0, ge=0, le=1, description="share of the candidate's replies that a judge reads; of the "
                         "stable version's as many")  # fmt: skip
    tolerance: float = Field(0.0, ge=0, le=0.5, description="drop of the mean score that is no harm")
    margin: float = Field(0.05, gt=0, lt=1, description="drop that must be excluded before more users get it")


class Stage(NamedTuple):
    """One step of a trial: who meets the candidate, what share of them, and the share of the step before."""

    kind: Literal["shadow", "users"]
    share: float
    before: float

    @property
    def in_words(self) -> str:
        if self.kind == "shadow":
            return f"shadow, {100 * self.share:.3g}% of requests mirrored"
        return f"{100 * self.share:.3g}% of users"

    @property
    def moved(self) -> float:
        """Of the users who were not in before, the share that this stage moved over."""
        return (self.share - self.before) / (1 - self.before)


class CanarySettings(Setting):
    """How a promoted version comes to its users. `canary: off` gives it to all of them at once."""

    stages: tuple[float, ...] = Field((0.05, 0.25, 1.0), description="shares of the users, rising; the last is 1")
    shadow: float = Field(
        0.0, ge=0, le=0.9, description="share of requests that are mirrored first, unheard; 0: no such stage"
    )
    unit: Literal["user", "conversation", "request"] = Field(
        "user",
        description="what counts once in a stage; `request` is quicker, and right only where users are alike",
    )
    alpha: float = Field(0.05, gt=0, le=0.5, description="chance of rolling back a harmless version, in a whole trial")
    beta: float = Field(0.05, gt=0, le=0.5, description="chance, by stage and kind, of excluding a harm that there is")
    min_requests: int = Field(200, ge=1, description="requests of the candidate in a stage before it may be widened")
    min_minutes: float = Field(10.0, ge=0, description="least duration of a stage")
    known: int = Field(20, ge=2, description="outcomes of the stable version from which on a kind is known, and counts")
    patience: float = Field(24.0, gt=0, le=10_000, description="hours after which a stage ends without proof")
    when_unsure: Literal["widen", "hold", "roll_back"] = Field(
        "widen", description="what is done then; a strong hint of harm (`doubt`) always holds"
    )
    doubt: float = Field(
        10.0, ge=1, description="evidence of harm, as odds, with which a stage is not widened unproven"
    )
    errors: Errors = Errors()
    latency: Latency = Latency()
    feedback: Opinions = Opinions()
    judge: Judged = Judged()
    collapse: float = Field(
        0.2, gt=0, lt=1, description="rise of failures over all requests that counts as a collapse at any time"
    )

    @model_validator(mode="before")
    @classmethod
    def switched(cls, told: Any) -> Any:
        """The settings that `off` means, which YAML reads as false, and `on`; anything else as it is."""
        if told is False or told == "off":
            return {"stages": (1.0,)}
        return {} if told is True or told == "on" else told

    @field_validator("stages")
    @classmethod
    def _rising(cls, stages: tuple[float, ...]) -> tuple[float, ...]:
        if not stages or stages[-1] != 1 or stages[0] <= 0:
            raise ValueError("give shares above 0 of which the last is 1, such as [0.05, 0.25, 1.0]")
        if any(after <= before for before, after in pairwise(stages)):
            raise ValueError("each share must be more than the one before, such as [0.05, 0.25, 1.0]")
        return stages

    @property
    def off(self) -> bool:
        """Whether a promoted version gets everybody at once."""
        return self.stages == (1.0,) and not self.shadow

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages of a trial in their order, without the last, at which the trial is over."""
        first = (Stage("shadow", self.shadow, 0.0),) if self.shadow else ()
        before = (0.0, *self.stages)
        return first + tuple(Stage("users", share, before[at]) for at, share in enumerate(self.stages[:-1]))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is tested."""
        return ALL_KINDS if self.judge.share else tuple(kind for kind in ALL_KINDS if kind != "judge")

    @property
    def harm_bar(self) -> float:
        """Evidence, as odds, that rolls back: α is shared by all kinds and stages alike (the union bound)."""
        return len(self.kinds) * max(1, len(self.plan)) / self.alpha

    @cached_property
    def log_harm_bar(self) -> float:
        return log(self.harm_bar)

    @property
    def safe_bar(self) -> float:
        """Evidence, as odds, that excludes a harm."""
        return 1 / self.beta
