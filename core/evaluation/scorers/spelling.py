"""How texts are compared: what does not count in a label, and whether an answer stands in a reply."""

import re
import unicodedata

STOPS = (".", "。", "．")
QUOTES = ('""', "''", "``", "“”", "‘’", "«»", "「」", "『』")
# scripts whose words touch each other or carry attached particles, where a word boundary means nothing
UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1100, 0x11FF),  # Hangul jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # 々 〆 〇
    (0x3040, 0x318F),  # kana, bopomofo, Hangul compatibility jamo
    (0x31F0, 0x31FF),  # small katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7AF),  # Hangul syllables
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width katakana
    (0x20000, 0x3FFFF),
)
AROUND = " \t\r\n.,;:!?*_`\"'“”‘’«»「」『』()[]{}<>|。．，：；！？、"
JOINTS = re.compile(r"[\s_\-‐‑–]+")
LEAD = re.compile(r"^#*\s*[*_`]*(?:(?:label|class|category|answer|intent|标签|类别|答案)[*_`]*\s*[:：=]\s*)?")


def folded(text: str) -> str:
    """`text` in one case and one Unicode form."""
    # an accent may be one character or two; a match must not hang on which
    return unicodedata.normalize("NFC", text.casefold())


def spaced(text: str) -> str:
    """`text` folded, with single spaces."""
    return " ".join(folded(text).split())


def bare(text: str) -> str:
    """`text` folded, without surrounding space, one pair of quotes and one full stop."""
    text = folded(text).strip()
    stopped = text.endswith(STOPS)
    text = text[:-1].rstrip() if stopped else text
    if len(text) >= 2 and text[0] + text[-1] in QUOTES:
        text = text[1:-1].strip()
        if not stopped and text.endswith(STOPS):
            text = text[:-1].rstrip()
    return text


def loose(text: str) -> str:
    """`text` folded, as words: `_`, `-` and space are the same; Markdown, punctuation and `Label:` before it go."""
    text = LEAD.sub("", unicodedata.normalize("NFKC", folded(text)).strip(AROUND)).strip(AROUND)
    return " ".join(JOINTS.split(text)).strip(AROUND)


def stands_in(answer: str, text: str) -> bool:
    """Whether `answer` stands in `text` as whole words, both as `spaced` makes them."""
    start = text.find(answer)
    while start != -1:
        end = start + len(answer)
        if _ends_at(answer[0], text, start - 1, -1) and _ends_at(answer[-1], text, end, 1):
            return True
        start = text.find(answer, start + 1)
    return False


def _ends_at(edge: str, text: str, index: int, step: int) -> bool:
    """Whether a word whose outermost character is `edge` ends before `text[index]`, looking along `step`."""
    if _unspaced(edge):
        return True
    while 0 <= index < len(text) and text[index] == "_":  # Markdown's _emphasis_ is no part of a word
        index += step
    if not 0 <= index < len(text):
        return True
    neighbour, beyond = text[index], text[index + step] if 0 <= index + step < len(text) else ""
    if neighbour.isalnum() or unicodedata.category(neighbour).startswith("M"):
        return _unspaced(neighbour)
    if not edge.isdigit():
        return True
    decimal = neighbour in ".," and beyond.isdigit()
    sign = step < 0 and neighbour in "-−" and not (beyond.isalnum() or beyond in (")", "]"))
    return not (decimal or sign)


def _unspaced(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in UNSPACED)
