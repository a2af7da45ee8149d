"""How an adapter is trained."""

from typing import Any, Literal

from pydantic import Field, field_validator

from ..settings import Setting
from .keeping.settings import Keep, Start, as_list, once_each


class Training(Setting):
    """LoRA on every linear layer; the defaults suit a small model, a few hundred short samples and a CPU."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, le=512, description="rank of the update")
    alpha: int = Field(32, ge=1, le=4096, description="scale of the update is alpha/rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the input of the update")
    targets: tuple[str, ...] = Field(("all-linear",), min_length=1, description="layers that get an update")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="peak; rises over `warmup`, then falls to 0")
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(0.0, ge=0, le=1, description="AdamW weight decay")
    noise: float = Field(
        0.12, ge=0, lt=1, description="share of a labelled message's words left out, others in each epoch; 0: as it is"
    )
    epochs: int = Field(6, ge=1, le=100, description="passes over the samples")
    rehearse_every: int = Field(1, ge=1, le=100, description="a rehearsal answer is read in one of so many epochs")
    batch_size: int = Field(8, ge=1, le=4096, description="samples in a step")
    max_length: int = Field(1024, ge=16, description="longest sample in tokens; longer ones are left out, counted")
    checkpoint_steps: int = Field(25, ge=1, description="a killed training goes on from the last multiple of this")
    start: Start = Field("scratch", description="what training begins with: a fresh update, or the champion's")
    keep: tuple[Keep, ...] = Field((), description="what holds the update to the champion's: ewc, champion_kl, or both")

    @field_validator("keep", mode="before")
    @classmethod
    def _one_is_a_list(cls, keep: Any) -> Any:
        return as_list(keep)

    @field_validator("keep")
    @classmethod
    def _once_each(cls, keep: tuple[Keep, ...]) -> tuple[Keep, ...]:
        return once_each(keep)
