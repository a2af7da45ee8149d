"""Attention over a packed row block by block of its tree, so that no product is made that the mask throws away.

The kernel of a CPU makes all products of a row and then drops those that the mask forbids: of eight samples that share
nothing, seven in eight. Here each block meets only what it sees (figures in docs/log.md).
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .blocks import Blocks, Group

NAME = "by_piece"
KEPT = 2**20  # weights of attention of a layer that wait for the way back: 4 MiB; more are made anew

Context = Any  # of torch.autograd.Function
Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


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
        ctx.blocks, ctx.scale = blocks, scale
        asked, seen = _asked(query, key.shape[1], scale), torch.cat([key[0], value[0]])
        kept = query.shape[1] * blocks.products <= KEPT
        parts: list[torch.Tensor] = []
        outs = []
        for group in blocks.groups:
            one = _parts(group, asked, seen)
            outs.append(torch.bmm(one[3], one[2]).view(len(asked), -1, asked.shape[2]))
            parts += one if kept else ()
        ctx.save_for_backward(query, key, value, *parts)
        out = torch.cat(outs, 1).index_select(1, blocks.order)
        return out.transpose(0, 1).reshape(1, query.shape[2], *query.shape[1::2])

    @staticmethod
    def backward(ctx: Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, *parts = ctx.saved_tensors
        heads = key.shape[1]
        if not parts:
            asked, seen = _asked(query, heads, ctx.scale), torch.cat([key[0], value[0]])
        out = _asked(gradient.transpose(1, 2), heads, 1)
        of_seen, of_asked = out.new_zeros(2 * heads, *key.shape[2:]), []
        for number, group in enumerate(ctx.blocks.groups):
            q, k, v, weights = parts[4 * number : 4 * number + 4] or _parts(group, asked, seen)
            back = out.index_select(1, group.own).view(q.shape)
            of_weights = torch.bmm(back, v.transpose(1, 2))
            of_products = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_asked.append(torch.bmm(of_products, k).view(heads, -1, out.shape[2]))
            of_group = out.new_empty(2, *k.shape)
            torch.bmm(of_products.transpose(1, 2), q, out=of_group[0])
            torch.bmm(weights.transpose(1, 2), back, out=of_group[1])
            of_group = of_group.view(2 * heads, len(group.hidden), *k.shape[1:])
            for (begin, end), at, which in group.back:
                of_seen[:, begin:end] += of_group[:, which, at : at + end - begin].sum(1)
        of_query = torch.cat(of_asked, 1).index_select(1, ctx.blocks.order).mul_(ctx.scale)
        of_query = of_query.view(heads, query.shape[2], -1, query.shape[3]).transpose(1, 2).reshape(query.shape)
        return of_query, of_seen[:heads][None], of_seen[heads:][None], None, None


def _asked(query: torch.Tensor, heads: int, scale: float) -> torch.Tensor:
    """(key heads, L + 1, heads of each · width): each token with all that ask a key head, and zeros after the last."""
    _, asking, tokens, width = query.shape
    asked = query.new_zeros(heads, tokens + 1, asking // heads * width)
    by_token = query.view(heads, -1, tokens, width).transpose(1, 2)
    torch.mul(by_token, scale, out=asked[:, :-1].view(by_token.shape))
    return asked


def _parts(group: Group, asked: torch.Tensor, seen: torch.Tensor) -> Parts:
    """Of each block under each key head: queries (·, n · asking, width), keys and values (·, S, width), weights."""
    heads, width = len(asked), seen.shape[2]
    b, n, size = group.hidden.shape
    query = asked.index_select(1, group.own).view(heads * b, -1, width)
    key, value = seen.index_select(1, group.seen).view(2, heads * b, size, width)
    products = torch.bmm(query, key.transpose(1, 2))
    products.view(heads, b, n, -1, size).add_(group.hidden[:, :, None])
    return query, key, value, torch.softmax(products, -1, dtype=torch.float32).to(products.dtype)


AttentionInterface.register(NAME, by_piece)
AttentionMaskInterface.register(NAME, sdpa_mask)
