"""Personal data and secrets in a text: where they are, and the text without them.

Names of people and postal addresses are out of scope: no pattern tells them from other words.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from .credentials import secrets
from .numbers import (
    Finder,
    Place,
    Stretch,
    cards,
    chinese_ids,
    ibans,
    ip_addresses,
    scan,
    small_ibans,
    stretches,
    us_ssns,
)
from .phone_numbers import phones

Kind = Literal["secret", "email", "iban", "cn_id", "card", "us_ssn", "ip", "phone"]

DEFAULT_KINDS: tuple[Kind, ...] = ("secret", "email", "iban", "cn_id", "card", "us_ssn", "phone")
"""All but `ip`: an address of the internet names a machine, seldom a person, and looks like a version number."""


@dataclass(frozen=True)
class Span:
    """Characters `start` up to `end` of a text are of this kind."""

    kind: Kind
    start: int
    end: int


def find(text: str, kinds: Collection[Kind] = DEFAULT_KINDS) -> list[Span]:
    """The spans of `kinds` in `text`, in order; none overlap, and where two could the more specific kind wins."""
    if not MAYBE.search(text):
        return []
    plain = text if text.isascii() else text.translate(NARROW)
    taken = bytearray(len(text))
    whole, numeric = [Stretch(plain, taken, 0, len(text))], stretches(plain, taken)
    spans: list[Span] = []
    for kind, finder, only_numeric in FINDERS:
        if kind in kinds:
            for start, end in chain.from_iterable(map(finder, numeric if only_numeric else whole)):
                if taken.find(1, start, end) < 0:
                    taken[start:end] = b"\1" * (end - start)
                    spans.append(Span(kind, start, end))
    return sorted(spans, key=lambda span: span.start)


def mask(text: str, kinds: Collection[Kind] = DEFAULT_KINDS) -> str:
    """`text` with each span of `kinds` replaced by its kind, such as `[EMAIL]`; nothing is found in the result."""
    # what is left beside a span, such as digits that were one run with it, may be a span of its own
    while spans := find(text, kinds):
        text = replaced(text, spans)
    return text


def replaced(text: str, spans: Collection[Span]) -> str:
    """`text` with `spans`, in order, replaced by their kinds."""
    starts = [0, *(span.end for span in spans)]
    ends = [*(span.start for span in spans), len(text)]
    between = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return "".join(chain.from_iterable(zip(between, [*(f"[{span.kind.upper()}]" for span in spans), ""], strict=True)))


# one set of characters and no alternatives, so that `re` runs over a clean text without trying a match at each place:
# each kind has one of these but AWS key ids, which may be letters alone
MAYBE = re.compile(r"[-0-9@=:_A０-９＠：＝](?:(?<!A)|(?:[KS]I|BI|CC)A)")

NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {ord(sign): "-" for sign in "‐‑‒–−"}
NARROW |= {ord(sign): " " for sign in "\u00a0\u2007\u2009\u202f\u3000"}
"""Full-width signs as ASCII, and the hyphens and spaces that word processors write: one for one, so places stay."""

EMAIL = re.compile(
    r"(?<![0-9A-Za-z._%+-])(?!git@)[0-9A-Za-z._%+-]{1,64}@(?:[0-9A-Za-z](?:[0-9A-Za-z-]{0,62})\.){1,8}"
    r"(?!(?:png|jpe?g|gif|svg|webp|js|css)\b)[A-Za-z]{2,24}(?![A-Za-z])"
)


def emails(stretch: Stretch) -> Iterator[Place]:
    """E-mail addresses of ASCII letters; `icon@2x.png` and the `git@` of a remote are none."""
    return scan(EMAIL, stretch, re.Match.end) if "@" in stretch.text else iter(())


FINDERS: tuple[tuple[Kind, Finder, bool], ...] = (
    ("secret", secrets, False),
    ("email", emails, False),
    ("iban", ibans, False),
    ("iban", small_ibans, True),
    ("cn_id", chinese_ids, True),
    ("card", cards, True),
    ("us_ssn", us_ssns, True),
    ("ip", ip_addresses, False),
    ("phone", phones, True),
)
"""From the most specific to the least, and whether it is looked for only where there are many digits."""
