"""What a training minimises, token by token: the samples' own words, and on rehearsal the distance to the base.

The output layer makes a number for each word of the vocabulary at each completion token, which is most of what a
training of a small model holds in memory. So it runs on some tokens after the others, and again on the way back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from .distilling import IDS, distilling_losses
from .forwarding import forward_by
from .packing import Row, completion_logits

Logits = Callable[[slice], torch.Tensor]  # of some of the completion tokens of a row

NUMBERS = 2**25  # that the output layer makes at once: 128 MiB in float32


def learning_losses(model: Any, row: Row, head: Any = None) -> torch.Tensor:
    """weight × cross-entropy of each completion token (T,), in nats; beside a teacher's, see distilling.py.

    `head` is the output layer where `head_is_last`; it then runs on some tokens at a time.
    """
    logits, targets = _logits(model, row, head), row["targets"]

    def losses(part: slice) -> torch.Tensor:
        if IDS in row:
            return distilling_losses(logits(part).float(), row, part)
        return F.cross_entropy(logits(part).float(), targets[part], reduction="none")

    weighted: torch.Tensor = _in_parts(losses, len(targets), head) * row["weights"]
    return weighted


def keeping_losses(model: Any, network: Any, row: Row, head: Any = None) -> torch.Tensor:
    """weight × KL(base ‖ adapter) at each completion token (T,), in nats.

    `network` is the PEFT model, `model` the same or what wraps it to train on several devices.
    The base's whole distribution, not the word it chose: at the start the loss is 0 and pulls nowhere, so that it does
    not compete with what is to be learnt (learning without forgetting, Li & Hoiem 2016).
    """
    with _as_base(network):
        base = _logits(model, row, head)
    ours = _logits(model, row, head)

    def losses(part: slice) -> torch.Tensor:
        with torch.no_grad():
            wanted = F.log_softmax(base(part).float(), -1)
        return F.kl_div(F.log_softmax(ours(part).float(), -1), wanted, reduction="none", log_target=True).sum(-1)

    weighted: torch.Tensor = _in_parts(losses, len(row["targets"]), head) * row["weights"]
    return weighted


def _in_parts(losses: Callable[[slice], torch.Tensor], tokens: int, head: Any) -> torch.Tensor:
    """`losses` of all `tokens`, at most `NUMBERS` numbers of the vocabulary at a time."""
    size = tokens if head is None else max(1, NUMBERS // head.weight.shape[0])
    if tokens <= size:
        return losses(slice(tokens))
    parts = [slice(begin, begin + size) for begin in range(0, tokens, size)]
    return torch.cat([checkpoint(losses, part, use_reentrant=False) for part in parts])


def _logits(model: Any, row: Row, head: Any) -> Logits:
    if head is None:
        whole = completion_logits(model, row)
        return lambda part: whole[part]
    with _passed_over(head):
        states = completion_logits(model, row)
    return lambda part: head(states[part])


def head_is_last(network: Any) -> bool:
    """Whether what `network` answers is what its output layer makes of the state before it, tried on a few tokens.

    Some models change it afterwards (soft caps), and some have no such layer.
    """
    head = network.get_output_embeddings()
    if type(head) is not torch.nn.Linear:  # such as one that has an adapter
        return False
    tokens = torch.arange(8, device=network.device)[None] % head.weight.shape[0]
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            expected = network(input_ids=tokens, use_cache=False).logits
            with _passed_over(head):
                states = network(input_ids=tokens, use_cache=False).logits
            return states.shape[-1] == head.weight.shape[1] and torch.equal(head(states), expected)
    finally:
        network.train(training)


@contextmanager
def _passed_over(layer: Any) -> Iterator[None]:
    """The model without `layer`: what it is given is what it gives."""
    undo = forward_by(layer, lambda states: states)
    try:
        yield
    finally:
        undo()


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
