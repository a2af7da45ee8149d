"""A base whose weights are spread over the processes, each of which holds a part of every layer.

torch's FSDP2 (Zhao et al. 2023), put on by transformers as it loads the base: a layer is put together on every process
while it is computed, and let go again; the output layer stays until the way back is over. The adapter is whole on each,
so that all else stays as it is. But all processes have to compute the same layers equally often, whatever there is to
learn on each: one that passed a layer over would leave the others waiting.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers.distributed import DistributedConfig

from ..errors import ModelError
from .last_layer import blocks_of
from .zero import held_of, size_of


def spread(processes: int) -> dict[str, Any]:
    """What `from_pretrained` is told, so that each process loads its part and no more."""
    return {"distributed_config": DistributedConfig(fsdp_size=processes)}


def refuse_whole(network: Any, name: str) -> None:
    """Raise ModelError unless every layer of a base that was to be spread is by itself.

    transformers has no plan for some architectures, and would put all layers together to compute one.
    """
    layers = blocks_of(network)
    if not layers or not all(isinstance(layer, FSDPModule) for layer in layers):
        raise ModelError(
            f"{name}: transformers does not spread a {network.config.model_type} over processes; leave `train.shard` "
            "out, or choose another model"
        )


def refuse_unpacked(name: str) -> None:
    """Raise ModelError for a base that reads samples one at a time, so that processes had unequally many to read."""
    raise ModelError(
        f"{name} does not take packed samples, so that processes would read rows of different number; leave "
        "`train.shard` out"
    )


def share_of(network: Any, processes: int) -> str:
    """How much of the weights of `network` this process holds, of so many that share them, in words."""
    weights = list(network.parameters())
    held = sum(one.numel() * one.element_size() for one in map(_own, weights))
    whole = sum(size_of(one) * one.element_size() for one in weights)
    here = f"{held / 2**20:,.1f} of {whole / 2**20:,.1f} MiB of the weights"
    return f"the base was spread over {processes} processes, of which the first held {here}"


def _own(weight: torch.Tensor) -> torch.Tensor:
    """The part of a weight that this process holds."""
    return weight.to_local() if isinstance(weight, DTensor) else held_of(weight)


@contextmanager
def resumable(arguments: Any) -> Iterator[None]:
    """Let a Trainer be made that writes checkpoints to go on from, of a network whose base is spread.

    It refuses those, since the optimizer's state would have to be put together; ours is that of the adapter, which is
    whole on each process.
    """
    was = arguments.save_only_model
    arguments.save_only_model = True
    try:
        yield
    finally:
        arguments.save_only_model = was
