"""How traffic is kept, and when it becomes material: `serve.traffic` of `loop.yaml`."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from ..quality.personal import DEFAULT_KINDS, Kind
from ..settings import Setting
from .drift import Drift


class Collecting(Setting):
    """When and how traffic becomes material."""

    corrections: int = Field(20, ge=1, le=100_000, description="corrections that start a collection by their number")
    minutes: float = Field(10.0, gt=0, le=10_080, description="minutes after which one is due in any case")
    agree: int = Field(1, ge=1, le=100, description="how many users must give the same correction before it is taken")
    disliked: int = Field(3, ge=2, le=1000, description="disliked answers of one kind from which on more is written")
    sure: float = Field(0.9, gt=0, le=1, description="probability from which on the encoder's label is believed")
    alike: float = Field(
        0.6, gt=0, lt=1, description="cosine from which on two questions without labels are one intent"
    )
    days: int = Field(30, ge=1, le=3650, description="days back that disliked answers and figures are looked for")


class TrafficSettings(Setting):
    """What is stored of a loop's traffic, without what, and for how long."""

    keep_texts: bool = Field(
        True, description="store what is asked and answered; without it only figures and feedback, and nothing to learn"
    )
    redact: tuple[Kind, ...] = Field(
        DEFAULT_KINDS, description="what is masked in every text before it is stored; empty: nothing"
    )
    days: float = Field(30.0, gt=0, le=36_500, description="days that an exchange is kept")
    feedback_days: float = Field(
        365.0, gt=0, le=36_500, description="days that one is kept that a user said something of"
    )
    rows: int | None = Field(1_000_000, ge=1, description="exchanges that are kept at most; null: any number")
    megabytes: float | None = Field(None, gt=0, description="texts of exchanges that are kept at most; null: any size")
    collect: Collecting = Field(Collecting(), description="when and how traffic becomes material")
    drift: Drift | None = Field(Drift(), description="when users ask otherwise than they did; null: nobody looks")

    @model_validator(mode="after")
    def _feedback_stays_as_long(self) -> Self:
        if self.feedback_days < self.days:
            raise ValueError(
                f"`feedback_days` ({self.feedback_days:g}) is less than `days` ({self.days:g}): what users said of an "
                "exchange would go before exchanges that nobody spoke of; raise it"
            )
        return self

    @model_validator(mode="after")
    def _two_windows_are_kept(self) -> Self:
        if "drift" in self.model_fields_set and self.no_drift:
            raise ValueError(self.no_drift)
        return self

    @property
    def no_drift(self) -> str:
        """Why there never are two windows of questions to compare, as exchanges go before; empty where there are."""
        drift = self.drift
        if drift is None:
            return ""
        if 2 * drift.hours > 24 * self.days:
            short = f"`drift.hours` ({drift.hours:g}) does not fit twice into `days` ({self.days:g})"
        elif self.rows is not None and 2 * drift.rows > self.rows:
            short = f"`drift.rows` ({drift.rows}) does not fit twice into `rows` ({self.rows})"
        else:
            return ""
        return f"{short}, so no window of questions is kept to look for drift; lower it, or set `drift: null`"


def due(counts: Mapping[str, int | float], settings: Collecting) -> bool:
    """Whether traffic is to be collected now.

    `counts`: `corrections` that wait, and where it is known `minutes` since the last collection.
    """
    return counts.get("corrections", 0) >= settings.corrections or counts.get("minutes", 0) >= settings.minutes
