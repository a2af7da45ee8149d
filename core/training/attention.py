"""Attention over a packed row block by block of its tree, so that few products are made that the mask throws away.

The kernel of a CPU makes all products of a row and then drops those that the mask forbids: of eight samples that share
nothing, seven in eight. Here each block meets what it sees (figures in docs/log.md).
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .blocks import Blocks, Part

NAME = "by_piece"

Context = Any  # of torch.autograd.Function


def by_piece(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    blocks: Blocks | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As `AttentionInterface` wants it: query (1, heads, L, width), key and value (1, key heads, L, width) to
    (1, L, heads, width). Without `blocks`, and with dropout, it is transformers' own for SDPA.
    """
    if blocks is None or dropout:
        done: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return done
    if options.get("softcap") is not None or options.get("position_bias") is not None:
        raise ValueError("this attention has no soft cap and no position bias")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _ByBlock.apply(query, key, value, blocks, scale), None  # type: ignore[no-untyped-call]


class _ByBlock(torch.autograd.Function):
    """softmax(scale · Q Kᵀ + mask) V, and its gradient written out.

    Heads that share keys ask them one after another, as so many more tokens: no key is copied for them. What is made of
    a row that is short enough to be one part waits for the way back; of a longer one it is made anew there.
    """

    @staticmethod
    def forward(
        ctx: Context, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, blocks: Blocks, scale: float
    ) -> torch.Tensor:
        laid = blocks.laid(key.shape[1], query.shape[1] // key.shape[1], query.device)
        outs, made = [], []
        for part in laid.parts:
            queries, _, values, *weights = made = _made(part, scale, query, key, value)
            out = queries.new_empty(len(queries), queries.shape[1] // query.shape[3] * value.shape[3])
            by_group = part.sees(values, width=value.shape[3]), part.asked(out, width=value.shape[3])
            for weight, (held,), (found,) in zip(weights, *by_group, strict=True):
                torch.bmm(weight, held, out=found)
            outs.append(out)
        ctx.laid, ctx.scale, ctx.shapes = laid, scale, [one.shape for one in (query, key, value)]
        ctx.save_for_backward(*(made if len(laid.parts) == 1 else (query, key, value)))
        return torch.cat(outs).index_select(0, laid.order).view(1, *query.shape[2:0:-1], value.shape[3])

    @staticmethod
    def backward(ctx: Context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        whole = len(ctx.laid.parts) == 1
        (_, _, tokens, width), (_, heads, _, _), (_, _, _, held) = ctx.shapes
        back, of_queries = _by_key(gradient.transpose(1, 2), heads), []
        of_key, of_value = (back.new_zeros(tokens * heads, one, dtype=torch.float32) for one in (width, held))
        for part in ctx.laid.parts:
            made = ctx.saved_tensors if whole else _made(part, ctx.scale, *ctx.saved_tensors)
            queries, keys, values, *weights = made
            sent = back.index_select(0, part.own).index_fill_(0, part.filled, 0)
            of_query, to_see, to_hold = (torch.empty_like(one) for one in (queries, keys, values))
            for weight, *group in zip(
                weights,
                part.asked(queries, of_query, width=width),
                part.asked(sent, width=held),
                part.sees(keys, to_see, width=width),
                part.sees(values, to_hold, width=held),
                strict=True,
            ):
                _send_back(weight, *group)
            of_queries.append(of_query)
            for summed, rows in ((of_key, to_see), (of_value, to_hold)):
                summed.scatter_add_(0, part.seen[:, None].expand_as(rows), rows.float())
        of_query = torch.cat(of_queries).index_select(0, ctx.laid.order).mul_(ctx.scale)
        found = zip((of_query, of_key, of_value), ctx.shapes, strict=True)
        return *(_by_head(one.to(gradient.dtype), shape) for one, shape in found), None, None


def _made(part: Part, scale: float, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> list[torch.Tensor]:
    """Scaled queries, keys and values of a part, and of each of its groups the weights (K · b, n · asking, S)."""
    heads = key.shape[1]
    queries = _by_key(query, heads).index_select(0, part.own).mul_(scale)
    keys, values = (_by_key(one, heads).index_select(0, part.seen) for one in (key, value))
    weights = []
    by_group = part.asked(queries, width=query.shape[3]), part.sees(keys, width=key.shape[3])
    for (asked,), (seen,), hidden in zip(*by_group, part.hidden, strict=True):
        blocks, tokens, size = hidden.shape
        products = torch.bmm(asked, seen.transpose(1, 2))
        products.view(-1, blocks, tokens, asked.shape[1] // tokens, size).add_(hidden[:, :, None])
        weights.append(torch.softmax(products, -1, dtype=torch.float32).to(products.dtype))
    return [queries, keys, values, *weights]


def _send_back(
    weight: torch.Tensor,
    asked: tuple[torch.Tensor, ...],
    sent: tuple[torch.Tensor, ...],
    seen: tuple[torch.Tensor, ...],
    held: tuple[torch.Tensor, ...],
) -> None:
    """Write the gradients of a group's queries, keys and values; `asked`, `seen`, `held` are each with its own."""
    torch.bmm(weight.transpose(1, 2), sent[0], out=held[1])
    of_weight = torch.bmm(sent[0], held[0].transpose(1, 2))
    of_product = torch._softmax_backward_data(of_weight, weight, -1, weight.dtype)  # in one pass
    torch.bmm(of_product, seen[0], out=asked[1])
    torch.bmm(of_product.transpose(1, 2), asked[0], out=seen[1])


def _by_key(states: torch.Tensor, heads: int) -> torch.Tensor:
    """(1, heads, L, width) as (L · key heads, the rest): what a model lays out token by token is not copied."""
    return states.transpose(1, 2).reshape(states.shape[2] * heads, -1)


def _by_head(rows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The way back from `_by_key`."""
    _, heads, tokens, width = shape
    return rows.view(1, tokens, heads, width).transpose(1, 2)


AttentionInterface.register(NAME, by_piece)
AttentionMaskInterface.register(NAME, sdpa_mask)
