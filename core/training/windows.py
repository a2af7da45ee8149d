"""A sample longer than a training reads at once, as several windows of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .packing import Encoded


def windows(one: "Encoded", length: int) -> "Iterator[Encoded]":
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
