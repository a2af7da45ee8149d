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

from .tree import Chunks

NAME = "by_piece"


def by_piece(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    pieces: Chunks | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As `AttentionInterface` wants it: query (1, heads, L, width), key and value (1, key heads, L, width) to
    (1, L, heads, width). Without `pieces` it is transformers' own for SDPA.

    Keys and values are cut once, and not anew for each piece: the gradient of a cut is as long as the row.
    """
    if pieces is None:
        done: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return done
    if options.get("softcap") is not None or options.get("position_bias") is not None:
        raise ValueError("this attention has no soft cap and no position bias")
    masks = pieces.added(query.shape[1] // key.shape[1], query.dtype)
    keys, values = torch.split(key, pieces.sizes, 2), torch.split(value, pieces.sizes, 2)
    parts = [
        _attended(asked, _joined(keys, way), _joined(values, way), mask, dropout, scaling)
        for asked, way, mask in zip(torch.split(query, pieces.own, 2), pieces.ways, masks, strict=True)
    ]
    return torch.cat(parts, 2).transpose(1, 2), None


def _attended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, dropout: float, scale: float | None
) -> torch.Tensor:
    """Heads that share keys ask them one after another, as so many more tokens: no key is copied for them."""
    batch, heads, tokens, width = query.shape
    folded = query.reshape(batch, key.shape[1], -1, width)
    out = F.scaled_dot_product_attention(folded, key, value, mask, dropout_p=dropout, scale=scale)
    return out.view(batch, heads, tokens, -1)


def _joined(chunks: tuple[torch.Tensor, ...], way: list[int]) -> torch.Tensor:
    return chunks[way[0]] if len(way) == 1 else torch.cat([chunks[number] for number in way], 2)


AttentionInterface.register(NAME, by_piece)
AttentionMaskInterface.register(NAME, sdpa_mask)
