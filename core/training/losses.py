"""What a training minimises, token by token: the samples' own words, and on rehearsal the distance to the base."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from .distilling import IDS, distilling_losses
from .packing import completion_logits

Row = dict[str, torch.Tensor]


def learning_losses(model: Any, row: Row) -> torch.Tensor:
    """weight × cross-entropy of each completion token (T,), in nats; beside a teacher's, see distilling.py."""
    if IDS in row:
        return distilling_losses(model, row)
    return F.cross_entropy(completion_logits(model, row).float(), row["targets"], reduction="none") * row["weights"]


def keeping_losses(model: Any, network: Any, row: Row) -> torch.Tensor:
    """weight × KL(base ‖ adapter) at each completion token (T,), in nats.

    `network` is the PEFT model, `model` the same or what wraps it to train on several devices.
    The base's whole distribution, not the word it chose: at the start the loss is 0 and pulls nowhere, so that it does
    not compete with what is to be learnt (learning without forgetting, Li & Hoiem 2016).
    """
    with _as_base(network):
        base = F.log_softmax(completion_logits(model, row).float(), -1)
    ours = F.log_softmax(completion_logits(model, row).float(), -1)
    return F.kl_div(ours, base, reduction="none", log_target=True).sum(-1) * row["weights"]


@contextmanager
def _as_base(network: Any) -> Iterator[None]:
    """The model without its adapter and without dropout, as it is served."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), network.disable_adapter():
            yield
    finally:
        network.train(training)
