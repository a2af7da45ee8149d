"""Samples in groups that fit a row together, to be read without being learnt."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from .packing import Encoded
from .tree import shared_tokens

ROW = 1024
"""Distinct tokens that are laid out in one row; in longer ones too much attention goes to strangers."""


def in_rows(samples: Mapping[int, Sequence[Encoded]], most: int = ROW) -> Iterator[list[int]]:
    """The keys of `samples` in groups of at most `most` distinct tokens: kin beside each other, to share a beginning.

    A sample has one lesson or more, which stay together.
    """
    group: list[int] = []
    size, last = 0, Encoded([], [])
    for at in sorted(samples, key=lambda at: (samples[at][0].prompt, len(samples[at][0]))):
        own = _distinct(last, samples[at])
        if group and size + own > most:
            yield group
            group, size, own = [], 0, _distinct(Encoded([], []), samples[at])
        group.append(at)
        size, last = size + own, samples[at][-1]
    if group:
        yield group


def _distinct(last: Encoded, lessons: Sequence[Encoded]) -> int:
    """Tokens of `lessons` but for what each has in common with the one before it, the first with `last`."""
    return sum(len(one) - shared_tokens(before.prompt, one.prompt) for before, one in pairwise([last, *lessons]))
