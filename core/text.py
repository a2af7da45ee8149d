"""Small facts about texts, and about values in texts, that several parts need to agree on."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

OUTER = " .!?,;:\"'“”‘’«»。、¿¡"
WORD = re.compile(r"\w+(?:['’]\w+)*")
SPACED = "".join(chr(code) if chr(code).isalnum() or chr(code) in "_'" else " " for code in range(128))
"""For `str.translate`: ASCII as it is, but a space for each sign that stands between words."""


def normalised(text: str) -> str:
    """`text` without what does not change its meaning here: Unicode form, case, spacing, outer punctuation."""
    return " ".join(folded(text).split()).strip(OUTER)


def folded(text: str) -> str:
    """`text` in one Unicode form and one case; all its signs and spaces stay."""
    if text.isascii():  # the common case, which has one form already
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())  # folding can undo the form


def words(text: str) -> list[str]:
    """The words of `text`, folded; a script without spaces counts each of its characters."""
    return words_of(normalised(text))


def words_of(normal: str) -> list[str]:
    """The words of a text that is normalised already."""
    if normal.isascii() and "''" not in normal:  # the common case, in which `split` finds the same, faster
        spaced = normal.translate(SPACED)
        if "'" in spaced:
            spaced = f" {spaced} ".replace(" '", " ").replace("' ", " ")
        return spaced.split()
    whole: list[str] = WORD.findall(normal)
    found: list[str] = []
    for word in whole:
        found.extend(word if any("\u3040" <= sign <= "\u9fff" for sign in word) else [word])
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """Half a sentence for an unknown name: the nearest known one, or the first of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(names[:20])}"


def in_words(value: Any) -> str:
    """What kind of value it is, for a sentence: a list, text, nothing …"""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
