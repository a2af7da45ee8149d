"""A base that DeepSpeed spreads over the processes: ZeRO 3 (Rajbhandari et al. 2020).

It parts all weights, also those of the adapter, and puts a layer together where it is computed; what is outside of a
layer has to be put together by all processes at once. DeepSpeed is loaded only where a training asks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def zero(device: str) -> dict[str, Any]:
    """DeepSpeed's configuration, in which `auto` is filled in from the TrainingArguments and the network's width."""
    if device == "cpu":
        import deepspeed

        # else it would compile a way to sum in shared memory for a minute, and want a compiler
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return {
        "communication_data_type": "fp32",  # of gradients: those of the adapter, whatever the base is in
        "data_types": {"grad_accum_dtype": "fp32"},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": True,  # ours is torch's AdamW
        "zero_optimization": {
            "stage": 3,
            "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto",
            "stage3_max_live_parameters": 100_000_000,  # that are together at once: less than a layer of 8B
            "stage3_max_reuse_distance": 100_000_000,
            "stage3_param_persistence_threshold": "auto",  # what is smaller, such as norms, is whole on each process
        },
    }


def is_parted(weight: torch.Tensor) -> bool:
    """Whether DeepSpeed has parted a weight, which then is empty wherever nothing is computed with it."""
    return hasattr(weight, "ds_id")


def held_of(weight: torch.Tensor) -> torch.Tensor:
    """What this process holds of a weight."""
    return weight.ds_tensor if _is_away(weight) else weight  # type: ignore[attr-defined]


def size_of(weight: torch.Tensor) -> int:
    """Numbers in a weight, on all processes together."""
    return int(weight.ds_numel) if is_parted(weight) else weight.numel()  # type: ignore[attr-defined]


@contextmanager
def put_together(network: Any, changed: bool = False) -> Iterator[None]:
    """Let what is trained of `network` be whole on every process, all of which come here, and the base parted.

    Where it is `changed`, it is then everywhere as the first process leaves it. What is whole anyway stays as it is.
    """
    learnt = [weight for weight in network.parameters() if weight.requires_grad]
    parted = [weight for weight in learnt if (is_parted if changed else _is_away)(weight)]
    if not parted:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(parted, modifier_rank=0 if changed else None):
        yield


def _is_away(weight: torch.Tensor) -> bool:
    """Whether a weight is parted and not just put together."""
    return is_parted(weight) and weight.numel() == 0


@contextmanager
def runnable(network: Any, arguments: Any) -> Iterator[None]:
    """Let a network be run and tried before the Trainer that is told `arguments` has it."""
    if not any(map(is_parted, network.parameters())):
        yield
        return
    import deepspeed

    arguments.hf_deepspeed_config.trainer_config_finalize(arguments, network, 0)
    engine, *_ = deepspeed.initialize(model=network, config=arguments.hf_deepspeed_config.config)
    try:
        yield
    finally:
        engine.destroy()
        for module in network.modules():  # it forgets these, and the next engine would go by those of this one
            for name in ("pre_bwd_fn", "post_bwd_fn"):
                vars(module).pop(name, None)
