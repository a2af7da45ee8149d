"""How an adapter is trained."""

from typing import Literal

from pydantic import Field

from ..settings import Setting
from .control.settings import Control


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
    max_length: int = Field(1024, ge=16, description="longest sample in tokens")
    start: Literal["scratch", "champion"] = Field(
        "scratch", description="what a round trains on from: nothing, or the adapter in production, where there is one"
    )
    too_long: Literal["drop", "window"] = Field(
        "drop", description="a longer one is left out and counted, or read in several windows of that length"
    )
    checkpoint_steps: int = Field(25, ge=1, description="a killed training goes on from the last multiple of this")
    control: Control = Field(Control(), description="what may end a training early, change its steps, bring it back")
