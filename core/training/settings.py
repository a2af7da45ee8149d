"""How an adapter is trained."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..settings import Setting
from .control.settings import Control
from .focus.emphasis import Emphasis, Measure
from .focus.order import Order, Shuffled
from .keeping.settings import Keep, Start, as_list, once_each
from .presets import Preset, with_preset


class Training(Setting):
    """LoRA on every linear layer; the defaults suit a small model, a few hundred short samples and a CPU."""

    kind: Literal["lora"] = "lora"
    preset: Preset | None = Field(None, description="values for a kind of machine; the loop's own keys go before them")
    rank: int = Field(16, ge=1, le=512, description="rank of the update")
    alpha: int = Field(32, ge=1, le=4096, description="scale of the update is alpha/rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the input of the update")
    targets: tuple[str, ...] = Field(("all-linear",), min_length=1, description="layers that get an update")
    quantize: Literal["none", "nf4"] = Field("none", description="nf4: train over the base in 4 bits (QLoRA)")
    rslora: bool = Field(False, description="scale of the update is alpha/√rank (rank-stabilised LoRA)")
    dora: bool = Field(False, description="learn the size of each row apart from its direction (DoRA)")
    lora_plus: float = Field(1.0, ge=1, le=64, description="learning rate of B over that of A (LoRA+); 1: the same")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="of the base; auto: what is fast here")
    attention: Literal["auto", "by_piece", "sdpa", "flex", "flash"] = Field(
        "auto", description="auto: what this machine can do"
    )
    gradient_checkpointing: bool = Field(False, description="compute twice what is passed back: slower, less memory")
    processes: int = Field(1, ge=1, le=64, description="processes that share each batch, one a GPU")
    shard: Literal["none", "fsdp", "deepspeed"] = Field(
        "none", description="spread the base over the processes: for one too large for one GPU"
    )
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
    too_long: Literal["drop", "window"] = Field(
        "drop", description="a longer one is left out and counted, or read in several windows of that length"
    )
    checkpoint_steps: int = Field(25, ge=1, description="a killed training goes on from the last multiple of this")
    control: Control = Field(Control(), description="what may end a training early, change its steps, bring it back")

    focus: tuple[Emphasis, ...] = Field(
        (), description="which samples are learnt from and how much each counts, one after the other; docs/focus.md"
    )
    order: Order = Field(Shuffled(), description="in which order the samples of an epoch are read; docs/focus.md")
    start: Start = Field("scratch", description="what training begins with: a fresh update, or the champion's")
    keep: tuple[Keep, ...] = Field((), description="what holds the update to the champion's: ewc, champion_kl, or both")

    @model_validator(mode="before")
    @classmethod
    def _preset_below(cls, given: Any) -> Any:
        return with_preset(given)

    @model_validator(mode="after")
    def _processes_have_work(self) -> "Training":
        if self.processes > self.batch_size:
            raise ValueError(
                f"`processes: {self.processes}` share batches of {self.batch_size} samples, so some had none; raise "
                "`batch_size` or lower `processes`"
            )
        return self

    @model_validator(mode="after")
    def _shards_go_together(self) -> "Training":
        if self.spread and (beside := _beside_shards(self)):
            raise ValueError(f"`shard: {self.shard}` and {beside[0]} do not go together: {beside[1]}")
        return self

    @property
    def spread(self) -> bool:
        """Whether each process holds a part of the base."""
        return self.shard != "none"

    @property
    def in_words(self) -> str:
        """The method in one line, for people: `QLoRA (NF4), DoRA, rank 16, alpha 32 on all-linear; preset gpu-16gb`."""
        method = "QLoRA (NF4)" if self.quantize == "nf4" else "LoRA"
        more = [name for name, on in {"rsLoRA": self.rslora, "DoRA": self.dora}.items() if on]
        more += [f"LoRA+ {self.lora_plus:g}"] if self.lora_plus > 1 else []
        said = ", ".join([method, *more, f"rank {self.rank}, alpha {self.alpha} on {', '.join(self.targets)}"])
        said += f", {self.processes} processes" if self.processes > 1 else ""
        said += " that share the base's weights" if self.spread else ""
        said += " by DeepSpeed" if self.shard == "deepspeed" else ""
        return f"{said}; preset {self.preset}" if self.preset else said

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

    @field_validator("keep", mode="before")
    @classmethod
    def _one_is_a_list(cls, keep: Any) -> Any:
        return as_list(keep)

    @field_validator("keep")
    @classmethod
    def _once_each(cls, keep: tuple[Keep, ...]) -> tuple[Keep, ...]:
        return once_each(keep)


def _beside_shards(training: Training) -> tuple[str, str] | None:
    """What a training that spreads its base asks for and cannot do as well, and why."""
    if training.processes == 1:
        return "`processes: 1`", "there is nobody to spread the base to; set `processes` to the number of GPUs"
    if training.quantize == "nf4":
        return "`quantize: nf4`", "4-bit weights are not spread; leave one of them out"
    if training.dora:
        return "`dora`", "it asks for the size of whole rows of the base; leave one of them out"
    if training.keep:
        why = "some processes would ask the champion what others do not, and wait for them; leave one of them out"
        return f"`keep: {training.keep[0].kind}`", why
    if training.measures or training.control.worth is not None:
        asked = "`control.worth`" if training.control.worth is not None else "this `focus` or `order`"
        return asked, "samples are measured with the whole base in one place; leave one of them out"
    if training.shard == "deepspeed" and training.control.rate is not None:
        return "`control.rate`", "DeepSpeed makes a step before it can be told its rate; set `shard: fsdp`"
    return None
