"""Invented terms: what an answer names, and neither its knowledge nor its question does. No model is asked."""

import re
from collections.abc import Sequence

from ...generation.augment.facts import DIGITS, QUOTED, names, numbers
from ...text import normalised

SPAN = re.compile(r"“([^“”]{2,60})”|「([^「」]{2,60})」|『([^『』]{2,60})』|《([^《》]{2,60})》|\"([^\"\n]{2,60})\"")
LATIN = re.compile(r"(?<![A-Za-z])[A-Za-z][A-Za-z0-9.+-]*[A-Za-z0-9](?![A-Za-z])")
UNSPACED = re.compile(r"[\u3040-\u9fff]")


def invented_terms(answer: str, known: Sequence[str]) -> tuple[str, ...]:
    """The terms of `answer` that stand in none of the `known` texts, in their order, each once.

    A term is a number, a name or identifier as `facts.names` finds them, what stands in quotation marks, and in
    Chinese or Japanese text a word of Latin letters. Case, and endings that the known text has in addition, do not
    count; a number is the same in digits and in words; a name that opens a sentence is not known as one.
    """
    text = normalised("\n".join(known))
    held = numbers("\n".join(known))
    terms = [*names(answer), *QUOTED.findall(answer)]
    terms += [next(filter(None, found)) for found in SPAN.findall(answer)]
    if UNSPACED.search(answer):
        terms += LATIN.findall(answer)
    found = {term for term in terms if normalised(term) not in text}
    found |= {number for number in numbers(answer) - held if not _within(number, found)}
    return tuple(sorted(found, key=lambda term: (_place(term, answer), term)))


def _within(number: str, terms: set[str]) -> bool:
    """Whether a number is a part of a term that was found: 4 of `GPT-4`."""
    return any(number in DIGITS.findall(term) for term in terms)


def _place(term: str, answer: str) -> int:
    """Where a term stands; a number without its commas may stand in none, and comes last."""
    place = answer.find(term)
    return place if place >= 0 else len(answer)
