"""The loss of replayed samples that are kept to the champion's answers."""

from typing import Any

import torch
import torch.nn.functional as F

from ..packing import completion_logits
from .champion import ChampionUpdate, as_champion

Row = dict[str, torch.Tensor]


def replay_losses(model: Any, network: Any, champion: ChampionUpdate, row: Row, strength: float) -> torch.Tensor:
    """weight × (cross-entropy + strength × KL(champion ‖ candidate)) of each completion token (T,), in nats.

    `network` is the PEFT model, `model` the same or what wraps it to train on several devices. The champion is asked
    first: what it switches off must be on again when the gradients are taken.
    """
    with torch.no_grad(), as_champion(network, champion):
        wanted = F.log_softmax(completion_logits(model, row).float(), -1)
    ours = F.log_softmax(completion_logits(model, row).float(), -1)
    learnt = F.nll_loss(ours, row["targets"], reduction="none")
    kept = F.kl_div(ours, wanted, reduction="none", log_target=True).sum(-1)
    return (learnt + strength * kept) * row["weights"]
