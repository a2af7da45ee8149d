"""How a loop's ledger guards its gate."""

from typing import Any, Literal

from pydantic import Field, model_validator

from ..settings import Setting


class LedgerSettings(Setting):
    """The ledger as a guard. `ledger: off` alone leaves it out of the gate; what is in it stays."""

    off: bool = Field(False, description="true: the ledger is neither asked nor filled by rounds")
    margin: float = Field(
        0.1, ge=0, lt=1, description="share of people's corrections, once right, that may be wrong; 0: none"
    )
    round_margin: float = Field(
        0.5, ge=0, lt=1, description="the same of items that rounds fixed, of which some were luck"
    )
    judge: Literal["count", "bound"] = Field(
        "count",
        description="count: the share itself is held to the margin; bound: its upper bound, from `min_items` on",
    )
    min_items: int = Field(20, ge=1, description="with `bound`: items below which they are only counted")
    right_from: float = Field(1.0, gt=0, le=1, description="the score from which on an answer counts as right")

    @model_validator(mode="before")
    @classmethod
    def _off_alone(cls, given: Any) -> Any:
        if isinstance(given, bool):  # YAML reads a bare `off` as false
            return {"off": not given}
        return {"off": given == "off"} if given in ("on", "off") else given

    def margin_of(self, held_out: bool) -> float:
        """The margin of items that rounds fixed, or of people's corrections."""
        return self.round_margin if held_out else self.margin
