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
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())  # folding can undo the form
    return " ".join(folded.split()).strip(OUTER)


def words(text: str) -> list[str]:
    """The words of `text`, folded; a script without spaces counts each of its characters."""
    folded = normalised(text)
    if folded.isascii() and "''" not in folded:  # the common case, in which `split` finds the same, faster
        spaced = f" {folded.translate(SPACED)} "
        return spaced.replace(" '", " ").replace("' ", " ").split()
    whole: list[str] = WORD.findall(folded)
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
