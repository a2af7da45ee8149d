"""Texts that samples are compared with, and that say where they stand."""

from collections.abc import Iterable
from typing import NamedTuple


class Text(NamedTuple):
    """A seed, a held-out row or a sample of the pool."""

    text: str
    place: str
    """Where a person finds it: file and line, suite and row, or its id."""
    group: str = ""
    """The suite of a held-out row."""


def placed(texts: Iterable[str | Text], called: str) -> list[Text]:
    """`texts`, those that do not say where they stand numbered from 1 under the name `called`."""
    return [
        one if isinstance(one, Text) else Text(one, f"{called} {number}", called) for number, one in enumerate(texts, 1)
    ]
