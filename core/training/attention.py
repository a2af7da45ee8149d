"""Attention over a packed row block by block of its tree, so that no product is made that the mask throws away.

The kernel of a CPU makes all products of a row and then drops those that the mask forbids: of eight samples that share
nothing, seven in eight. Here each block meets only what it sees (figures in docs/log.md).
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .blocks import Blocks, Laid

NAME = "by_piece"
KEPT = 2**20  # weights of attention of a layer that wait for the way back: 4 MiB; more are made anew

Context = Any  # of torch.autograd.Function


def by_piece(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    pieces: Blocks | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As `AttentionInterface` wants it: query (1, heads, L, width), key and value (1, key heads, L, width) to
    (1, L, heads, width). Without `pieces`, with dropout, and where values are of another width than keys, it is
    transformers' own for SDPA.
    """
    if pieces is None or dropout or key.shape != value.shape:
        done: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return done
    if options.get("softcap") is not None or options.get("position_bias") is not None:
        raise ValueError("this attention has no soft cap and no position bias")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _ByBlock.apply(query, key, value, pieces, scale), None  # type: ignore[no-untyped-call]


class _ByBlock(torch.autograd.Function):
    """softmax(scale · Q Kᵀ + mask) V, and its gradient written out.

    Heads that share keys ask them one after another, as so many more tokens: no key is copied for them.
    """

    @staticmethod
    def forward(
        ctx: Context, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, blocks: Blocks, scale: float
    ) -> torch.Tensor:
        _, heads, tokens, width = query.shape
        laid = blocks.laid(key.shape[1])
        ctx.laid, ctx.scale, ctx.shapes = laid, scale, (query.shape, key.shape)
        gathered = _gathered(query, key, value, laid, scale)
        weights = _weights(*gathered[:2], laid, width)
        out = torch.empty_like(gathered[0])
        for weight, (held,), (found,) in zip(
            weights, laid.sees(gathered[2]), laid.asked(out, width=width), strict=True
        ):
            torch.bmm(weight, held, out=found)
        ctx.kept = heads * blocks.products <= KEPT
        ctx.save_for_backward(*((*gathered, *weights) if ctx.kept else (query, key, value)))
        return out.index_select(0, laid.order).view(1, tokens, heads, width)

    @staticmethod
    def backward(ctx: Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        laid, (asking, asked_of) = ctx.laid, ctx.shapes
        queries, keys, values, *weights = ctx.saved_tensors
        if not ctx.kept:
            queries, keys, values = _gathered(queries, keys, values, laid, ctx.scale)
            weights = _weights(queries, keys, laid, asking[3])
        back = _by_key(gradient.transpose(1, 2), asked_of[1]).index_select(0, laid.own)
        back.index_fill_(0, laid.filled, 0)
        of_query, of_key, of_value = (torch.empty_like(one) for one in (queries, keys, values))
        for weight, (asked, sent, to_ask), (seen, held, to_see, to_hold) in zip(
            weights,
            laid.asked(queries, back, of_query, width=asking[3]),
            laid.sees(keys, values, of_key, of_value),
            strict=True,
        ):
            torch.bmm(weight.transpose(1, 2), sent, out=to_hold)
            of_weight = torch.bmm(sent, held.transpose(1, 2))
            of_product = torch._softmax_backward_data(of_weight, weight, -1, weight.dtype)
            torch.bmm(of_product, seen, out=to_ask)
            torch.bmm(of_product.transpose(1, 2), asked, out=to_see)
        of_query = _by_head(of_query.index_select(0, laid.order).mul_(ctx.scale), asking)
        of_key, of_value = (_by_head(_summed(one, laid.seen, len(laid.order)), asked_of) for one in (of_key, of_value))
        return of_query, of_key, of_value, None, None


def _gathered(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, laid: Laid, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scaled queries, keys and values of all groups, one after the other."""
    heads = key.shape[1]
    queries = _by_key(query, heads).index_select(0, laid.own).mul_(scale)
    keys, values = (_by_key(one, heads).index_select(0, laid.seen) for one in (key, value))
    return queries, keys, values


def _weights(queries: torch.Tensor, keys: torch.Tensor, laid: Laid, width: int) -> list[torch.Tensor]:
    """Of each group (K · b, n · asking, S): the softmax of its products."""
    found = []
    for (asked,), (seen,), hidden in zip(laid.asked(queries, width=width), laid.sees(keys), laid.hidden, strict=True):
        blocks, tokens, size = hidden.shape
        products = torch.bmm(asked, seen.transpose(1, 2))
        products.view(-1, blocks, tokens, asked.shape[1] // tokens, size).add_(hidden[:, :, None])
        found.append(torch.softmax(products, -1, dtype=torch.float32).to(products.dtype))
    return found


def _by_key(states: torch.Tensor, heads: int) -> torch.Tensor:
    """(1, heads, L, width) as (L · key heads, the rest): what a model lays out token by token is not copied."""
    return states.transpose(1, 2).reshape(states.shape[2] * heads, -1)


def _by_head(rows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The way back from `_by_key` to (1, heads, L, width)."""
    _, heads, tokens, width = shape
    return rows.view(1, tokens, heads, width).transpose(1, 2)


def _summed(rows: torch.Tensor, places: torch.Tensor, length: int) -> torch.Tensor:
    """(length, width): at each place the sum of the rows that were taken from there."""
    return rows.new_zeros(length, rows.shape[1]).scatter_add_(0, places[:, None].expand_as(rows), rows)


AttentionInterface.register(NAME, by_piece)
AttentionMaskInterface.register(NAME, sdpa_mask)
