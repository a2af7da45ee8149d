"""What does not go together is refused before anything is spent: settings, the engine that serves, and the base."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ModelError
from ..models.store import ModelFiles
from .settings import Training
from .shapes import ENDS, targeted, weight_shapes

if TYPE_CHECKING:
    from .hardware import Machine


def refuse_engine(training: Training, engine: str, where: str) -> None:
    """Raise ConfigError, naming the file `where`, for an adapter that `engine` could not serve."""
    if engine == "transformers":
        return
    if training.dora:
        why = "for which an adapter in GGUF has no place" if engine == "llamacpp" else "which vLLM does not do"
        raise ConfigError(
            f"{where}: `train.dora` and the engine {engine} do not go together: DoRA changes the size of each row, "
            f"{why}; leave `dora` out, or set `engine: {{kind: transformers}}`"
        )
    if engine == "vllm":  # which models may have LoRA on embeddings and head it knows itself
        return
    if ends := [name for name in training.targets if ENDS.search(name)]:
        raise ConfigError(
            f"{where}: `train.targets` has `{ends[0]}`, embeddings or the output head, which llamacpp serves no update "
            "of; name linear layers inside the blocks, or set `engine: {kind: transformers}`"
        )


def refuse_base(training: Training, base: ModelFiles) -> None:
    """Raise ModelError for a base that cannot be trained as `training` says, by what the headers of its files tell."""
    if training.quantize == "nf4" and (method := quantised(base.folder)):
        raise ModelError(
            f"{base.name}: this base is quantised already ({method}), and NF4 would round it a second time; leave "
            "`train.quantize` out, or give the model that it was made from"
        )
    refuse_rank(training, base.name, targeted(weight_shapes(base.folder), training.targets))


def refuse_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError where accelerate is told to wrap every network it trains, which then were not what we know."""
    for name in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG"):
        if environment.get(f"ACCELERATE_USE_{name}", "").lower() in ("1", "true", "yes", "on"):
            raise ConfigError(
                f"ACCELERATE_USE_{name} is set in the environment, and `train` does not do what it asks for; unset it. "
                "`train.shard` spreads a base over the processes"
            )


def refuse_machine(training: Training, probe: Callable[[], "Machine"] | None = None) -> None:
    """Raise ConfigError for what this machine cannot do; torch is imported only if something is asked for."""
    refuse_environment()
    everywhere = training.quantize == "none" and training.dtype != "bfloat16" and training.processes == 1
    if everywhere and training.attention not in ("flex", "flash"):
        return
    from .hardware import choose, machine

    choose((probe or machine)(), training)


def refuse_rank(training: Training, name: str, layers: dict[str, tuple[int, ...]]) -> None:
    """Raise ModelError when the rank is larger than a layer (out, in) that gets an update."""
    small = min(layers, key=lambda layer: min(layers[layer]), default=None)
    if small is not None and training.rank > (most := min(layers[small])):
        shape = " × ".join(str(size) for size in layers[small])
        raise ModelError(
            f"{name}: `train.rank: {training.rank}` is larger than the layer `{small}` ({shape}); at most {most} fits "
            "these `train.targets`"
        )


def quantised(folder: Path) -> str | None:
    """How the files of a model are quantised, None if they are not."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        told = config.get("quantization_config")
        return str(told.get("quant_method", "in some way")) if told else None
    except (OSError, ValueError, AttributeError):  # whoever loads it says what is wrong
        return None
