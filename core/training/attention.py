"""Attention over a packed row piece by piece of its tree, so that no product is made that the mask throws away.

The kernel of a CPU makes all products of a row and then drops those that the mask forbids: of eight samples that share
nothing, seven in eight. Here each piece meets only what stands before it (figures in docs/log.md).
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .tree import Stretch

NAME = "by_piece"
Pieces = list[tuple[Stretch, tuple[Stretch, ...], torch.Tensor]]  # own tokens, what stands before, and the mask


def by_piece(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    pieces: Pieces | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As `AttentionInterface` wants it: query (1, heads, L, width), key and value (1, key heads, L, width) to
    (1, L, heads, width). Without `pieces` it is transformers' own for SDPA.
    """
    if pieces is None:
        done: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return done
    if options.get("softcap") is not None or options.get("position_bias") is not None:
        raise ValueError("this attention has no soft cap and no position bias")
    parts = []
    for own, before, mask in pieces:
        asked, seen, heard = query[:, :, slice(*own)], _at(key, own, before), _at(value, own, before)
        parts.append(_attended(asked, seen, heard, mask, dropout, scaling))
    return torch.cat(parts, 2).transpose(1, 2), None


def _attended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, dropout: float, scale: float | None
) -> torch.Tensor:
    """Heads that share keys ask them one after another, as so many more tokens: no key is copied for them."""
    batch, heads, tokens, width = query.shape
    times = heads // key.shape[1]
    out = F.scaled_dot_product_attention(
        query.reshape(batch, heads // times, times * tokens, width),
        key,
        value,
        mask.repeat(times, 1),
        dropout_p=dropout,
        scale=scale,
    )
    return out.view(batch, heads, tokens, -1)


def _at(states: torch.Tensor, own: Stretch, before: tuple[Stretch, ...]) -> torch.Tensor:
    if not before:
        return states[:, :, slice(*own)]
    return torch.cat([states[:, :, slice(*stretch)] for stretch in (*before, own)], 2)


AttentionInterface.register(NAME, by_piece)
AttentionMaskInterface.register(NAME, sdpa_mask)
