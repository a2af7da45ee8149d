"""The pieces of a packed row, the long ones cut, laid side by side in groups of about one size for few, large products.

A block is a piece of the tree or a part of one, of at most `LONGEST` tokens: it meets what stands before it and itself.
So of a long piece nothing is computed that its later tokens would have hidden from its earlier ones.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch

from .tree import Piece, Stretch, stretches

LONGEST = 64  # tokens of a block; measured between 64 and 128 (docs/log.md)
MOST = 4  # blocks of a group: more are no longer in a core's cache
WASTE = 1.25  # of a group's products to those that its blocks ask for


class Group(NamedTuple):
    """b blocks, filled up to n own tokens and S that they see, themselves among these."""

    own: torch.Tensor  # (b · n,) the places of their tokens in a row of L; L where filled up
    seen: torch.Tensor  # (b · S,) the places of what each sees; 0 where filled up
    hidden: torch.Tensor  # (b, n, S) what is added to the product of two tokens: 0, or −∞
    back: tuple[tuple[Stretch, int, slice], ...]  # a stretch of the row: from where in S on, of which blocks


class Blocks:
    """How the tokens of a row of `pieces` attend; made once for all layers."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.length = pieces[-1].own[1]
        self.groups = [_group(blocks, self.length) for blocks in _grouped(list(chain(*map(_cut, pieces))))]
        own = torch.cat([group.own for group in self.groups])
        self.order = torch.empty(self.length + 1, dtype=torch.long).scatter_(0, own, torch.arange(len(own)))[:-1]
        self.products = sum(group.hidden.numel() for group in self.groups)  # of one head


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


def _group(blocks: Sequence[Piece], length: int) -> Group:
    own = torch.full((len(blocks), max(map(_owns, blocks))), length)
    seen = torch.zeros(len(blocks), max(map(_sees, blocks)), dtype=torch.long)
    hidden = torch.full((*own.shape, seen.shape[1]), -torch.inf)
    hidden[:, :, 0] = 0  # what is filled up sees something, as nothing has no softmax
    back: dict[tuple[Stretch, int], list[int]] = {}
    for number, block in enumerate(blocks):
        ways, owns, at = (*block.before, block.own), _owns(block), 0
        own[number, :owns] = torch.arange(*block.own)
        seen[number, : _sees(block)] = torch.cat([torch.arange(*stretch) for stretch in ways])
        hidden[number, :owns, : _sees(block)].masked_fill_(block.mask(), 0)
        for stretch in ways:
            back.setdefault((stretch, at), []).append(number)
            at += stretch[1] - stretch[0]
    return Group(own.flatten(), seen.flatten(), hidden, tuple(_runs(back)))


def _runs(back: dict[tuple[Stretch, int], list[int]]) -> list[tuple[Stretch, int, slice]]:
    """Blocks that follow one another and see a stretch at the same place: their gradients are summed at once."""
    return [
        (stretch, at, slice(begin, end)) for (stretch, at), numbers in back.items() for begin, end in stretches(numbers)
    ]
