"""What a text states that can be looked for in another: numbers, days and months, names, identifiers."""

import re
import unicodedata
from typing import Literal

Facts = Literal["names", "numbers", "none"]
"""What must stand in a child: names and numbers, numbers only, neither. No child may have a number of its own."""

DIGITS = re.compile(r"\d+(?:[.,:/-]\d+)*")
LETTER = r"[^\W\u3040-\u9fff\uac00-\ud7af]"  # of a script that puts spaces between words
WORD = re.compile(rf"{LETTER}+(?:[-'’]{LETTER}+)*")
QUOTED = re.compile(r"`([^`\n]+)`")
POSSESSIVE = re.compile(r"['’]s$")
VAGUE = {"0", "1"}  # `one of them`, `zero trouble`: in words mostly no numbers
THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
ENDS_SENTENCE = ".!?。！？:：\n"
BEFORE_WORD = " \t\"'“”‘’(（*-"  # what may stand between the end of one sentence and the first word of the next
ALWAYS_CAPITAL = {"i", "i'm", "i’m", "i've", "i’ve", "i'd", "i’d", "i'll", "i’ll"}

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {word: value for value, word in enumerate(_SMALL.split())}
VALUES |= {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_NUMERAL = "|".join(sorted((*VALUES, *SCALES), key=len, reverse=True))
SPELT = re.compile(rf"\b(?:{_NUMERAL})(?:(?:[ -]| and )(?:{_NUMERAL}))*\b", re.IGNORECASE)

HAN_DIGITS = {"零": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
HAN_SCALES = {"十": 10, "百": 100, "千": 1_000}
HAN = re.compile(r"(?P<whole>[零一二两三四五六七八九十百千]+)(?P<myriad>万?)(?P<rest>[零一二两三四五六七八九十百千]*)")
HAN_IDIOMS = re.compile("十分|千万别|千万不|万一|四处|三番|七上八下|乱七八糟|五花八门|一五一十|百分之?百")

_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
_MONTHS = "january february april june july august september october november december"
CALENDAR = frozenset(f"{_DAYS} {_MONTHS}".split())  # without `may` and `march`, which are words as well


def changed_facts(parent: str, child: str, keeps: Facts) -> set[str]:
    """What of `parent` is lost in `child`, as far as `keeps` says, and numbers and days that only `child` has.

    A number is the same in digits and in words (English, Chinese); `one` and 一 alone are mostly no numbers and do not
    count. A name that opens a sentence is not known as one.
    """
    parent, child = (unicodedata.normalize("NFKC", text) for text in (parent, child))
    changed = _dated(child) - _dated(parent)
    if keeps != "none":
        changed |= _dated(parent) - _dated(child)
    if keeps == "names":
        held = {_folded(word) for word in WORD.findall(child)}
        changed |= {name for name in names(parent) if _folded(name) not in held}
        changed |= {code for code in QUOTED.findall(parent) if code not in child}
    return changed


def numbers(text: str) -> set[str]:
    """The numbers in a text: digits with their points and colons but without the commas of thousands, and words."""
    found = {THOUSANDS.sub("", number) for number in DIGITS.findall(text)}
    for match in SPELT.finditer(text):
        said = [word for word in re.split(r"[ -]", match[0].casefold()) if word != "and"]
        found |= {str(_value(said))} - VAGUE
    for match in HAN.finditer(HAN_IDIOMS.sub("", text)):
        value = _han(match["whole"]) * (10_000 if match["myriad"] else 1) + _han(match["rest"])
        found |= {str(value)} - VAGUE
    return found


def names(text: str) -> set[str]:
    """Words with a capital letter within a sentence, abbreviations, and identifiers (`snake_case`, camelCase, R2D2)."""
    shouted = not any(sign.islower() for sign in text)
    found = set()
    for match in WORD.finditer(text):
        word = POSSESSIVE.sub("", match[0])
        inner = any(sign.isupper() or sign.isdigit() for sign in word[1:]) and not word.isdigit()
        before = text[max(0, match.start() - 9) : match.start()].rstrip(BEFORE_WORD)
        opens = not before or before[-1] in ENDS_SENTENCE
        written = word.casefold() not in ALWAYS_CAPITAL and (inner or (word[0].isupper() and not opens))
        if "_" in word.strip("_") or (written and not shouted):
            found.add(word)
    return found


def _dated(text: str) -> set[str]:
    return numbers(text) | {word for word in map(_folded, WORD.findall(text)) if word in CALENDAR}


def _folded(word: str) -> str:
    return POSSESSIVE.sub("", word).casefold()


def _value(said: list[str]) -> int:
    """The number that English words say: `two hundred and five`, `thirty-one thousand`."""
    whole = part = 0
    for word in said:
        if word in VALUES:
            part += VALUES[word]
        elif word == "hundred":
            part = (part or 1) * 100
        else:
            whole, part = whole + (part or 1) * SCALES[word], 0
    return whole + part


def _han(signs: str) -> int:
    """The number that Chinese numerals below 10,000 say: 三十一, 两百零五; without a scale they are digits."""
    if signs and all(sign in HAN_DIGITS for sign in signs):
        return int("".join(str(HAN_DIGITS[sign]) for sign in signs))
    whole, part = 0, 0
    for sign in signs:
        if sign in HAN_DIGITS:
            part = HAN_DIGITS[sign]
        else:
            whole, part = whole + (part or 1) * HAN_SCALES[sign], 0
    return whole + part
