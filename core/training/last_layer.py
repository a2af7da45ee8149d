"""The last layer of a network, computed only at the tokens from which something is predicted.

Of all others nothing is asked there but keys and values: no query, and nothing of the feed-forward part, which is two
thirds of a layer. In a packed row these others are most tokens.
"""

from contextlib import ExitStack
from typing import Any

import torch

from .control.fitting import recomputes
from .forwarding import forward_by
from .zero import is_parted

PARTS = ("self_attn.q_proj", "self_attn.o_proj", "attn.c_proj", "mlp")  # they take each token by itself


def spare_last_layer(network: Any) -> int:
    """Let parts of the last layer pass over the tokens that `logits_to_keep` does not name; returns how many do.

    A network whose parts have other names, or which then says or learns something else, is left as it is. So is one
    that computes its layers anew on the way back, when it is forgotten which tokens those were, and one that DeepSpeed
    has parted, which keeps together what a trial has asked the gradient of.
    """
    if recomputes(network) or any(map(is_parted, network.parameters())) or not (parts := _parts(network)):
        return 0
    kept = _Kept()
    with ExitStack() as undo:
        undo.callback(network.register_forward_pre_hook(kept.begin, with_kwargs=True).remove)
        undo.callback(network.register_forward_hook(kept.end, always_call=True).remove)
        for part in parts:
            undo.callback(forward_by(part, kept.only(part.forward)))
        if _holds(network):
            undo.pop_all()
            return len(parts)
    return 0


class _Kept:
    """Which tokens of the row that is being read are kept: None for all."""

    def __init__(self) -> None:
        self.tokens: torch.Tensor | None = None

    def begin(self, network: Any, given: Any, named: dict[str, Any]) -> None:
        row, wanted = named.get("input_ids"), named.get("logits_to_keep")
        one_row = row is not None and row.shape[0] == 1
        self.tokens = torch.unique(wanted) if one_row and isinstance(wanted, torch.Tensor) else None

    def end(self, *_: Any) -> None:
        self.tokens = None

    def only(self, forward: Any) -> Any:
        """`forward` at the kept tokens of (1, L, width), and 0 at the others."""

        def at_kept(x: torch.Tensor) -> torch.Tensor:
            if self.tokens is None:
                return forward(x)  # type: ignore[no-any-return]
            out = forward(x.index_select(1, self.tokens))
            return out.new_zeros(1, x.shape[1], out.shape[2]).index_copy_(1, self.tokens, out)  # type: ignore[no-any-return]

        return at_kept


def blocks_of(network: Any) -> Any:
    """The layers of the part of `network` that reads text, a ModuleList; an empty one where there is none."""
    count = getattr(network.config.get_text_config(), "num_hidden_layers", None)
    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    return next((one for one in lists if len(one) == count), torch.nn.ModuleList())


def _parts(network: Any) -> list[Any]:
    layers = blocks_of(network)
    if not layers:
        return []
    named = dict(layers[-1].named_modules())
    return [named[name] for name in PARTS if name in named]


def _gradient(logits: torch.Tensor, learnt: list[torch.Tensor]) -> torch.Tensor:
    """Of all that is learnt, as one vector: in some layers it is 0 but for rounding."""
    gradients = torch.autograd.grad(logits.sin().sum(), learnt, materialize_grads=True)
    return torch.cat([one.flatten().float() for one in gradients])


def _holds(network: Any) -> bool:
    """Whether `network` predicts what it did, and learns what it did, tried on a few tokens."""
    weights = network.get_input_embeddings().weight
    tokens = torch.arange(12, device=weights.device)[None] % weights.shape[0]
    kept = torch.tensor([3, 11, 3, 7], device=weights.device)
    training = network.training
    network.eval()
    try:
        whole = network(input_ids=tokens, use_cache=False).logits[:, kept]
        spared = network(input_ids=tokens, logits_to_keep=kept, use_cache=False).logits
        pairs = [(spared.detach(), whole.detach())]
        if learnt := [weight for weight in network.parameters() if weight.requires_grad]:
            pairs.append((_gradient(spared, learnt), _gradient(whole, learnt)))
    except Exception:  # what an architecture does with arguments it does not know is its own affair
        return False
    finally:
        network.train(training)
    tolerance = 1e-3 if weights.dtype == torch.float32 else 5e-2
    return all(
        one.shape == other.shape and bool((one - other).abs().max() <= tolerance * other.abs().max())
        for one, other in pairs
    )
