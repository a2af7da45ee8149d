"""Samples in groups that fit a row together, to be read without being learnt."""

from collections.abc import Iterator, Mapping, Sequence

from .packing import Encoded, common_prefix

ROW = 1024
"""Distinct tokens that are laid out in one row; in longer ones too much attention goes to strangers."""


def in_rows(samples: Mapping[int, Sequence[Encoded]], most: int = ROW) -> Iterator[list[int]]:
    """The keys of `samples` in groups of at most `most` distinct tokens: kin beside each other, to share a prompt.

    A sample has one lesson or more, which stay together.
    """
    group: list[int] = []
    size = 0
    for at in sorted(samples, key=lambda at: (samples[at][0].prompt, len(samples[at][0]))):
        lessons = samples[at]
        shared = common_prefix([samples[group[0]][0].prompt, lessons[0].prompt]) if group else 0
        own = sum(len(one) - shared for one in lessons)
        if group and size + own > most:
            yield group
            group, size, own = [], 0, sum(len(one) for one in lessons)
        group.append(at)
        size += own
    if group:
        yield group
