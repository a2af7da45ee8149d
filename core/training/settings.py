"""How an adapter is trained."""

from typing import Literal

from pydantic import Field, field_validator

from ..settings import Setting
from .focus.emphasis import Emphasis, Measure
from .focus.order import Order, Shuffled


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
    focus: tuple[Emphasis, ...] = Field(
        (), description="which samples are learnt from and how much each counts, one after the other; docs/focus.md"
    )
    order: Order = Field(Shuffled(), description="in which order the samples of an epoch are read; docs/focus.md")

    @field_validator("focus")
    @classmethod
    def _each_once(cls, focus: tuple[Emphasis, ...]) -> tuple[Emphasis, ...]:
        kinds = [one.kind for one in focus]
        if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
            raise ValueError(f"`{twice[0]}` stands there twice; leave one out")
        return focus

    @property
    def measures(self) -> set[Measure]:
        """What of the samples is measured with a model before a training."""
        asked = [one.measures for one in self.focus]
        return set().union(*asked, set() if isinstance(self.order, Shuffled) else self.order.measures)
