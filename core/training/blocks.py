"""The pieces of a packed row, the long ones cut, laid side by side in groups of about one size for few, large products.

A block is a piece of the tree or a part of one, of at most `LONGEST` tokens: it meets what stands before it and itself.
So of a long piece nothing is computed that its later tokens would have hidden from its earlier ones.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch

from .tree import Piece

LONGEST = 64  # tokens of a block; measured between 64 and 128 (docs/log.md)
MOST = 4  # blocks of a group: more are no longer in a core's cache
WASTE = 1.25  # of a group's products to those that its blocks ask for


class Group(NamedTuple):
    """b blocks side by side, filled up to n own tokens and S that they see, themselves among these."""

    own: torch.Tensor  # (b, n) the places of their tokens in the row; −1 where filled up
    seen: torch.Tensor  # (b, S) the places of what each sees; 0 where filled up
    hidden: torch.Tensor  # (b, n, S) what is added to the product of two tokens: 0, or −∞


class Blocks:
    """How the tokens of a row of `pieces` attend; made once for all layers."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.groups = [_group(blocks) for blocks in _grouped(list(chain(*map(_cut, pieces))))]
        self.products = sum(group.hidden.numel() for group in self.groups)  # of one head
        self._laid: dict[int, Laid] = {}

    def laid(self, heads: int) -> "Laid":
        """For so many heads of keys."""
        if heads not in self._laid:
            self._laid[heads] = Laid(self.groups, heads)
        return self._laid[heads]


class Laid:
    """Where in a row of L tokens with K heads of keys, as L · K, each number of the groups stands: token · K + head.

    All groups lie one after the other in one tensor, each as K · b blocks, so that one copy serves all.
    """

    def __init__(self, groups: Sequence[Group], heads: int) -> None:
        self.hidden = [group.hidden for group in groups]
        own, seen = (
            [_rows(one, heads) for one in each] for each in ([g.own for g in groups], [g.seen for g in groups])
        )
        self.own, self.seen = torch.cat(own), torch.cat(seen)
        self.filled = (self.own < 0).nonzero().flatten()
        there = (self.own >= 0).nonzero().flatten()
        self.order = torch.empty_like(there).scatter_(0, self.own[there], there)  # (L · K,) where in `own` each stands
        self.own.clamp_(min=0)
        self._blocks = [heads * len(group.hidden) for group in groups]
        self._sizes = [len(one) for one in own], [len(one) for one in seen]

    def asked(self, *rows: torch.Tensor, width: int) -> list[tuple[torch.Tensor, ...]]:
        """Each of `rows` (as many as `own`, asking · width) by group: (K · b, n · asking, width)."""
        return self._by_group(rows, self._sizes[0], width)

    def sees(self, *rows: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """Each of `rows` (as many as `seen`, width) by group: (K · b, S, width)."""
        return self._by_group(rows, self._sizes[1], rows[0].shape[1])

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
