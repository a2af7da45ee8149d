"""The network that is trained: a base that stays as it is, and the adapter on it."""

from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer

from ..errors import ModelError
from ..models.store import ModelFiles
from .fitting import refuse_base
from .hardware import Hardware
from .settings import Training
from .sharding import refuse_whole, spread


def with_adapter(base: ModelFiles, settings: Training, hardware: Hardware) -> Any:
    """The base of `settings` with a new adapter, in PEFT: A random, B zero, so that it answers as the base does.

    The base has the dtype of `hardware`, or is in NF4 (linear layers but the output head); the adapter is float32.

    Raises ModelError when the base cannot be loaded or the adapter does not fit it.
    """
    refuse_base(settings, base)
    network = _base(base, settings, hardware)
    if settings.shard == "fsdp":
        refuse_whole(network, base.name)
    elif settings.quantize == "none" and not settings.spread:  # in NF4 it was rounded where it is
        network.to(hardware.device)
    try:
        network = get_peft_model(network, _lora(settings))
    except ValueError as error:
        raise ModelError(f"{base.name}: LoRA does not fit `train.targets` {settings.targets}: {error}") from error
    if settings.gradient_checkpointing:
        # PEFT's weights get a gradient only if what flows into the checkpointed blocks has one
        network.enable_input_require_grads()
        network.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": settings.shard == "deepspeed"}
        )
    return network


NF4_NOTE = (
    "trained over the base in NF4 (4 bits), whose weights are not those that are served: the loss here is that of the "
    "rounded base, the suites are answered by the adapter on the base as it is served"
)


def told(settings: Training) -> tuple[str, ...]:
    """What a reader of the training's figures should know of how they came about."""
    return (NF4_NOTE,) if settings.quantize == "nf4" else ()


def loraplus(network: Any, settings: Training) -> torch.optim.Optimizer:
    """AdamW in which B learns `lora_plus` times as fast as A (Hayou et al. 2024, LoRA+)."""
    optimizer: torch.optim.Optimizer = create_loraplus_optimizer(
        network,
        torch.optim.AdamW,
        lr=settings.learning_rate,
        loraplus_lr_ratio=settings.lora_plus,
        loraplus_weight_decay=settings.weight_decay,
    )
    # an empty group, such as that of embeddings without an update, would be saved and never be the same again
    optimizer.param_groups = [group for group in optimizer.param_groups if group["params"]]
    return optimizer


def _base(base: ModelFiles, settings: Training, hardware: Hardware) -> Any:
    dtype = getattr(torch, hardware.dtype.chosen)
    options: dict[str, Any] = {"quantization_config": _nf4(dtype)} if settings.quantize == "nf4" else {}
    options |= spread(settings.processes) if settings.shard == "fsdp" else {}
    try:
        network = transformers.AutoModelForCausalLM.from_pretrained(
            base.folder, dtype=dtype, local_files_only=True, **options
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise ModelError(f"{base.folder}: transformers cannot load this model for training ({error})") from error
    for module in network.modules():
        # on such a processor the first pass in eval mode, as over the frozen base, would lay the weights of a layer in
        # 4 bits out for inference for good, and no gradient comes through that
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return network


def _nf4(dtype: torch.dtype) -> Any:
    """4-bit normal floats; the scales of their blocks are quantised as well (Dettmers et al. 2023, QLoRA)."""
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _lora(settings: Training) -> LoraConfig:
    targets: Any = settings.targets[0] if settings.targets == ("all-linear",) else list(settings.targets)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        task_type="CAUSAL_LM",
    )
