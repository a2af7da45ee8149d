"""Texts that begin alike, as a tree of tokens laid out in one row: each common beginning is there once.

Texts are added beside their nearest kin: the first is there whole, each other one from where it parts from those before
it. So a text is one piece, and what stands before it a few stretches of others.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

Tokens = list[int]
Stretch = tuple[int, int]  # from a place of the row up to, but without, another


class Piece(NamedTuple):
    """Tokens that were added together: their places in the row, and those of all that stands before them."""

    own: Stretch
    before: tuple[Stretch, ...]

    def mask(self) -> torch.Tensor:
        """(n, S): whether each of the n own tokens sees what stands before, then each of the n."""
        size, seen = self.own[1] - self.own[0], sum(end - begin for begin, end in self.before)
        return torch.ones(size, seen + size, dtype=torch.bool).tril(seen)


class Tree:
    """`texts` laid out: tokens and positions of the row, its pieces, and in `ways` the places of each text's tokens."""

    def __init__(self, texts: Sequence[Tokens]) -> None:
        self.ids: Tokens = []
        self.positions: list[int] = []
        self.pieces: list[Piece] = []
        self.ways: list[list[int]] = [[] for _ in texts]
        text: Tokens = []
        way: list[int] = []
        for number in sorted(range(len(texts)), key=lambda number: texts[number]):
            shared = shared_tokens(text, texts[number])
            text, way = texts[number], way[:shared]
            if text[shared:]:
                way = [*way, *self._add(text[shared:], way)]
            self.ways[number] = way

    def __len__(self) -> int:
        return len(self.ids)

    def _add(self, tokens: Tokens, way: Sequence[int]) -> range:
        begin = len(self.ids)
        self.ids.extend(tokens)
        self.positions.extend(range(len(way), len(way) + len(tokens)))
        self.pieces.append(Piece((begin, len(self.ids)), _stretches(way)))
        return range(begin, len(self.ids))

    def mask(self) -> torch.Tensor:
        """(L, L): whether each token sees another: itself, those of its piece before it, what stands before that."""
        sees = torch.zeros(len(self), len(self), dtype=torch.bool)
        for piece in self.pieces:
            seen = torch.cat([torch.arange(*stretch) for stretch in (*piece.before, piece.own)])
            sees[slice(*piece.own), seen] = piece.mask()
        return sees


def shared_tokens(one: Tokens, other: Tokens) -> int:
    """How many tokens both begin with."""
    for place, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return place
    return min(len(one), len(other))


def _stretches(places: Sequence[int]) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return tuple(found)
