"""What a training minimises, token by token: the samples' own words, and on rehearsal the distance to the base.

The output layer makes a number for each word of the vocabulary at each completion token, which is most of what a
training of a small model holds in memory. So it runs on some tokens after the others, and again on the way back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from .distilling import IDS, distilling_losses
from .forwarding import forward_by
from .layout import Layout
from .packing import Encoded, Row, alone, completion_logits, on_device

Logits = Callable[[slice], torch.Tensor]  # of some of the completion tokens of a row

NUMBERS = 2**25  # that the output layer makes at once: 128 MiB in float32


class Base:
    """What the base predicts of rehearsal: the PEFT model `network` without its adapter and without dropout.

    It stays what it is. Where `head` is the output layer, what that is given is remembered, 2 kB for each answer token
    of a model of 135M, and each sample is asked about once, alone: what else its batch holds then changes no bit,
    wherever a training goes on. Without `head` samples are read together, as `layout` has them, in each step. Where
    `in_step` it reads something in every step, since other processes may wait for it (sharding.py).
    """

    def __init__(self, network: Any, layout: Layout, head: Any = None, in_step: bool = False) -> None:
        self._network = network
        self._layout = layout
        self.head = head
        self._in_step = in_step
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], torch.Tensor] = {}

    def __call__(self, samples: Sequence[Encoded]) -> Logits | None:
        """Logits of the completion tokens of rehearsal, in the order of `samples`; None where there is none."""
        kept = [one for one in samples if one.rehearsal]
        if not kept:
            if self._in_step:
                self._read(self._layout(samples[:1]))
            return None
        if self.head is None:
            whole = self._read(self._layout(kept))
            return lambda part: whole[part]
        states = torch.cat([self._of(one) for one in kept])
        return lambda part: self.head(states[part])

    def _of(self, one: Encoded) -> torch.Tensor:
        name = tuple(one.prompt), tuple(one.completion)
        if name not in self._known:
            self._known[name] = self._read([alone(one)]).clone()  # else the prompt's states would stay as well
        return self._known[name]

    def _read(self, rows: Sequence[Row]) -> torch.Tensor:
        with _as_base(self._network):
            found = [_states(self._network, on_device(row, self._network), self.head) for row in rows]
        return torch.cat(found)


def token_losses(model: Any, row: Row, head: Any = None, base: Base | None = None) -> torch.Tensor:
    """weight × loss of each completion token (T,), in nats: of what is learnt, then of the row's rehearsal.

    What is learnt has the cross-entropy, or what a teacher says of it (distilling.py). Rehearsal, which stands at the
    end of the row and needs `base`, has KL(base ‖ adapter): the base's whole distribution, not the word it chose. At
    the start that is 0 to rounding and pulls nowhere, so that it does not compete with what is to be learnt (learning
    without forgetting, Li & Hoiem 2016). `head` is the output layer where `head_is_last`; it then runs on some tokens
    at a time.
    """
    targets, kept = row["targets"], [one for one in row["samples"] if one.rehearsal]
    assert base is not None or not kept, "rehearsal is held to the base"
    assert not any(one.rehearsal for one in row["samples"][: len(row["samples"]) - len(kept)]), (
        "rehearsal stands at the end"
    )
    of_base = base(row["samples"]) if base is not None else None  # first: it switches the adapter off and on again
    states = _states(model, row, head)
    learnt = len(targets) - sum(len(one.completion) for one in kept)

    def logits(part: slice) -> torch.Tensor:
        return (states[part] if head is None else head(states[part])).float()

    def learning(part: slice) -> torch.Tensor:
        if IDS in row:
            return distilling_losses(logits(part), row, part)
        return F.cross_entropy(logits(part), targets[part], reduction="none")

    losses = _in_parts(learning, range(learnt), head)
    if of_base is not None:

        def keeping(part: slice) -> torch.Tensor:
            with torch.no_grad():
                wanted = F.log_softmax(of_base(slice(part.start - learnt, part.stop - learnt)).float(), -1)
            return F.kl_div(F.log_softmax(logits(part), -1), wanted, reduction="none", log_target=True).sum(-1)

        losses += _in_parts(keeping, range(learnt, len(targets)), head)
    weighted: torch.Tensor = torch.cat(losses) * row["weights"]
    return weighted


def _in_parts(losses: Callable[[slice], torch.Tensor], tokens: range, head: Any) -> list[torch.Tensor]:
    """`losses` of these `tokens`, at most `NUMBERS` numbers of the vocabulary at a time."""
    size = len(tokens) if head is None else max(1, NUMBERS // head.weight.shape[0])
    if len(tokens) <= size:
        return [losses(slice(tokens.start, tokens.stop))] if tokens else []
    parts = [slice(begin, min(begin + size, tokens.stop)) for begin in tokens[::size]]
    return [checkpoint(losses, part, use_reentrant=False) for part in parts]


def _states(model: Any, row: Row, head: Any) -> torch.Tensor:
    """Of each completion token what the output layer `head` is given (T, width), or without one its logits."""
    if head is None:
        return completion_logits(model, row)
    with _passed_over(head):
        return completion_logits(model, row)


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
