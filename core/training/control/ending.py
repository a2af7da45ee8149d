"""Which weights a training ends with: the last ones, the best ones, or those from before it went wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from ...errors import ModelError
from ..checkpoints import checkpoints_in
from .steering import Steering, put_back

DIVERGED = "the training loss is no longer a number; lower `train.learning_rate` and run again"
EXPLODED = "the training loss explodes; lower `train.learning_rate` and run again"


@dataclass(frozen=True)
class Ending:
    """The step whose weights the adapter has, the last one that counts, and why it is not the last of all, or ""."""

    step: int
    last: int
    stopped: str = ""


def settle(network: Any, steering: Steering, work: Path, last: int) -> Ending:
    """Leave `network` with the weights that the training after `last` steps is to end with.

    Those of the lowest validation loss where it was measured; after a loss that exploded or is no number those of the
    last checkpoint from before. Raises ModelError when there is none.
    """
    first_bad = steering.first_bad if steering.diverged else None
    reason = steering.stopped
    if first_bad is None and not is_finite(network):  # the last update comes after the last loss
        first_bad, reason = last + 1, "the last update made weights that are no numbers"
    end = last if first_bad is None else min(last, first_bad - 1)
    if steering.best is not None and steering.best_step:
        put_back(network, steering.best)
        return Ending(steering.best_step, end, reason)
    if first_bad is None:
        return Ending(last, last, reason)
    # the loss of step n is that of the weights after n - 1: after first_bad - 1 they are the bad ones
    for step, folder in checkpoints_in(work):
        if step <= first_bad - 2 and _restored(network, folder):
            return Ending(step, end, f"{reason}; the weights are those after step {step}")
    raise ModelError(EXPLODED if "rose" in reason else DIVERGED)


def is_finite(network: Any) -> bool:
    """Whether every weight that was trained is a number."""
    return all(bool(torch.isfinite(weight).all()) for weight in network.parameters() if weight.requires_grad)


def _restored(network: Any, folder: Path) -> bool:
    """Whether the adapter of a checkpoint was put into `network` and is one of numbers."""
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        return False
    set_peft_model_state_dict(network, load_file(path))
    return is_finite(network)
