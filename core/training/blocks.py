"""The pieces of a packed row, the long ones cut, laid side by side in groups of about one size for few, large products.

A block is a piece of the tree or a part of one, of at most `LONGEST` tokens: it meets what stands before it and itself.
What a mask would throw away is then no more than half of a block's own square and what a group is filled up with.
The sizes here made no difference beyond noise between 64 and 128 tokens, 4 and 8 blocks, 1.25 and 1.5 (docs/log.md).
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch

from .tree import Piece

LONGEST = 64  # tokens of a block
MOST = 4  # blocks of a group
WASTE = 1.25  # at most so many times the products of its blocks are made in a group
AT_ONCE = 2**20  # products of all heads that are held at a time, where a group does not have more: 4 MiB


class Group(NamedTuple):
    """b blocks side by side, filled up to n own tokens and S that they see, themselves among these."""

    own: torch.Tensor  # (b, n) the places of their tokens in the row; −1 where filled up
    seen: torch.Tensor  # (b, S) the places of what each sees; 0 where filled up
    hidden: torch.Tensor  # (b, n, S) what is added to the product of two tokens: 0, or −∞


class Blocks:
    """How the tokens of a row of `pieces` attend; made once for all layers."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.groups = [_group(blocks) for blocks in _grouped(list(chain(*map(_cut, pieces))))]
        self._laid: dict[tuple[int, int, torch.device], Laid] = {}

    def laid(self, heads: int, asking: int, device: torch.device) -> "Laid":
        """For `heads` heads of keys, each of which `asking` heads ask."""
        if (heads, asking, device) not in self._laid:
            self._laid[heads, asking, device] = Laid(self.groups, heads, asking, device)
        return self._laid[heads, asking, device]


class Laid:
    """The groups for K heads of keys, in parts that are held at a time.

    A row of L tokens is meant as L · K, token · K + head. `order` (L · K,) says where each of these stands in `own` of
    all parts, one after the other.
    """

    def __init__(self, groups: Sequence[Group], heads: int, asking: int, device: torch.device) -> None:
        split: list[list[Group]] = []
        held = AT_ONCE
        for group in groups:
            products = group.hidden.numel() * heads * asking
            if held + products > AT_ONCE:
                split.append([])
                held = 0
            split[-1].append(group)
            held += products
        own = torch.cat([_rows(group.own, heads) for group in groups])
        there = (own >= 0).nonzero().flatten()
        self.order = torch.empty_like(there).scatter_(0, own[there], there).to(device)
        self.parts = [Part(some, heads, device) for some in split]


class Part:
    """Some groups, of which each is K · b blocks, one after the other in one tensor, so that one copy serves all."""

    def __init__(self, groups: Sequence[Group], heads: int, device: torch.device) -> None:
        own = [_rows(group.own, heads) for group in groups]
        seen = [_rows(group.seen, heads) for group in groups]
        self.own, self.seen = torch.cat(own).clamp_(min=0).to(device), torch.cat(seen).to(device)
        self.filled = (torch.cat(own) < 0).nonzero().flatten().to(device)  # what of `own` is no token
        self.hidden = [group.hidden.to(device) for group in groups]
        self._blocks = [heads * len(group.hidden) for group in groups]
        self._sizes = [len(one) for one in own], [len(one) for one in seen]

    def asked(self, *rows: torch.Tensor, width: int) -> list[tuple[torch.Tensor, ...]]:
        """Each of `rows` (as many as `own`, asking · width) by group: (K · b, n · asking, width)."""
        return self._by_group(rows, self._sizes[0], width)

    def sees(self, *rows: torch.Tensor, width: int) -> list[tuple[torch.Tensor, ...]]:
        """Each of `rows` (as many as `seen`, width) by group: (K · b, S, width)."""
        return self._by_group(rows, self._sizes[1], width)

    def _by_group(self, rows: Sequence[torch.Tensor], sizes: list[int], width: int) -> list[tuple[torch.Tensor, ...]]:
        parts = zip(*(torch.split(one, sizes) for one in rows), strict=True)
        return [tuple(one.view(b, -1, width) for one in part) for b, part in zip(self._blocks, parts, strict=True)]


def _rows(places: torch.Tensor, heads: int) -> torch.Tensor:
    """(K · b · n,) of places (b, n), head by head; what is −1 is below 0."""
    rows = places.flatten() * heads + torch.arange(heads)[:, None]
    return rows.masked_fill_(places.flatten() < 0, -1).flatten()


def _cut(piece: Piece) -> list[Piece]:
    """Parts of about one size, each with those before it among what stands before it."""
    (begin, end), before = piece
    size = -(-(end - begin) // -(-(end - begin) // LONGEST))
    return [
        Piece((at, min(at + size, end)), (*before, *([(begin, at)] if at > begin else [])))
        for at in range(begin, end, size)
    ]


def _grouped(blocks: Sequence[Piece]) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    for block in sorted(blocks, key=lambda block: (_sees(block), _owns(block))):
        if groups and len(groups[-1]) < MOST:
            wider = [*groups[-1], block]
            if _products(wider) <= WASTE * sum(_products([one]) for one in wider):
                groups[-1] = wider
                continue
        groups.append([block])
    return groups


def _owns(block: Piece) -> int:
    return block.own[1] - block.own[0]


def _sees(block: Piece) -> int:
    return sum(end - begin for begin, end in (*block.before, block.own))


def _products(blocks: Sequence[Piece]) -> int:
    return len(blocks) * max(map(_owns, blocks)) * max(map(_sees, blocks))


def _group(blocks: Sequence[Piece]) -> Group:
    own = torch.full((len(blocks), max(map(_owns, blocks))), -1)
    seen = torch.zeros(len(blocks), max(map(_sees, blocks)), dtype=torch.long)
    hidden = torch.full((*own.shape, seen.shape[1]), -torch.inf)
    hidden[:, :, 0] = 0  # what is filled up sees something, as nothing has no softmax
    for number, block in enumerate(blocks):
        owns, sees = _owns(block), _sees(block)
        own[number, :owns] = torch.arange(*block.own)
        seen[number, :sees] = torch.cat([torch.arange(*stretch) for stretch in (*block.before, block.own)])
        hidden[number, :owns, :sees].masked_fill_(block.mask(), 0)
    return Group(own, seen, hidden)
