"""The last layer of a network, computed only at the tokens from which something is predicted.

Of all others nothing is asked there but keys and values: no query, and nothing of the feed-forward part, which is two
thirds of a layer. In a packed row these others are most tokens.
"""

from contextlib import ExitStack
from types import MethodType
from typing import Any

import torch

PARTS = ("self_attn.q_proj", "self_attn.o_proj", "attn.c_proj", "mlp")  # they take each token by itself


def spare_last_layer(network: Any) -> int:
    """Let parts of the last layer pass over the tokens that `logits_to_keep` does not name; returns how many do.

    A network whose layers are not found, or which then says something else, is left as it is. So is one that computes
    its layers anew on the way back, when it is forgotten which tokens those were.
    """
    if getattr(network, "is_gradient_checkpointing", False) or not (parts := _parts(network)):
        return 0
    kept = _Kept()
    with ExitStack() as undo:
        undo.callback(network.register_forward_pre_hook(kept.begin, with_kwargs=True).remove)
        undo.callback(network.register_forward_hook(kept.end, always_call=True).remove)
        for part in parts:
            undo.callback(setattr, part, "forward", part.forward)
            part.forward = MethodType(kept.only(part.forward), part)
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

        def at_kept(module: Any, x: torch.Tensor) -> torch.Tensor:
            if self.tokens is None:
                return forward(x)  # type: ignore[no-any-return]
            out = forward(x.index_select(1, self.tokens))
            return out.new_zeros(1, x.shape[1], out.shape[2]).index_copy(1, self.tokens, out)  # type: ignore[no-any-return]

        return at_kept


def _parts(network: Any) -> list[Any]:
    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    layers = next((one for one in lists if len(one) == getattr(network.config, "num_hidden_layers", None)), None)
    if layers is None:
        return []
    named = dict(layers[-1].named_modules())
    return [named[name] for name in PARTS if name in named]


def _holds(network: Any) -> bool:
    """Whether `network` predicts what it did, tried on a few tokens."""
    weights = network.get_input_embeddings().weight
    tokens = torch.arange(12, device=weights.device)[None] % weights.shape[0]
    kept = torch.tensor([3, 11, 3, 7], device=weights.device)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            expected = network(input_ids=tokens, use_cache=False).logits[:, kept]
            found = network(input_ids=tokens, logits_to_keep=kept, use_cache=False).logits
    except Exception:  # what an architecture does with arguments it does not know is its own affair
        return False
    finally:
        network.train(training)
    tolerance = 1e-3 if weights.dtype == torch.float32 else 5e-2
    return found.shape == expected.shape and bool((found - expected).abs().max() <= tolerance * expected.abs().max())
