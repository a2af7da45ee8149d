"""Whether people look at rows of a round before it trains on them, and how long it waits for them."""

from typing import Any, Literal

from pydantic import Field, model_validator

from ..settings import Setting

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class PeopleReview(Setting):
    """People's look at a round before it trains. `review: required` alone is the short form of `mode: required`."""

    mode: Literal["off", "offered", "required"] = Field(
        "off", description="off: nobody is asked; offered: a sheet is written; required: the round waits for it"
    )
    rows: int = Field(20, ge=1, le=200, description="how many rows people see: half at random, half uncertain")
    by: str = Field("label_margin", min_length=1, description="score by which rows are uncertain: the smallest first")
    wait: str = Field("24h", pattern=r"^[1-9][0-9]{0,5}[smhd]$", description="longest wait, such as 90s, 30m, 24h, 3d")
    on_timeout: Literal["reject", "go_on"] = Field(
        "reject", description="then: end the round untrained, or train on the rows as they are"
    )

    @model_validator(mode="before")
    @classmethod
    def _mode_alone(cls, given: Any) -> Any:
        if isinstance(given, str | bool):
            given = {"mode": given}
        # YAML reads a bare `off` as false
        return given | {"mode": "off"} if isinstance(given, dict) and given.get("mode") is False else given

    @property
    def seconds(self) -> float:
        """The longest wait in seconds."""
        return float(int(self.wait[:-1]) * SECONDS[self.wait[-1]])
