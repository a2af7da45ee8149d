"""A sample in tokens; an answer longer than a training reads at once is left out, or is several windows of it."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..samples import Sample
from .packing import Encoded, encode
from .settings import Training


def read(sample: Sample, tokenizer: Any, settings: Training) -> tuple[list[list[Encoded]], int]:
    """Each answer of `sample` in as many windows as it needs, and how many answers were left out."""
    windowed = settings.too_long == "window"
    encoded, too_long = encode([sample], tokenizer, sys.maxsize if windowed else settings.max_length)
    return [list(windows(one, settings.max_length)) for one in encoded], too_long


def lessons_of(sample: Sample, tokenizer: Any, settings: Training) -> list[Encoded]:
    """All that a training reads of `sample`, without noise."""
    answers, _ = read(sample, tokenizer, settings)
    return [window for answer in answers for window in answer]


def windows(one: Encoded, length: int) -> Iterator[Encoded]:
    """`one` in windows of at most `length` tokens; each token of its answer is learnt in just one of them.

    A window learns at least half its length, after the tokens that stand before; what lies further back it does not
    see. So a prompt that is too long loses its beginning, the system prompt first.
    """
    if len(one) <= length:
        yield one
        return
    whole = one.prompt + one.completion
    begin = len(one.prompt)
    while begin < len(whole):
        end = min(max(begin + length // 2, length), len(whole))
        first = max(0, end - length)
        yield replace(one, prompt=whole[first:begin], completion=whole[begin:end])
        begin = end
