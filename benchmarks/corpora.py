"""Corpora of rows that nobody wrote, with defects planted in them; each row says what it is.

    {"prompt": …, "completion": …, "planted": "near", "of": 4711}

`planted` is empty for a good row, else the defect; `of` is the row that a copy was made from. Words are drawn as in a
language, the frequent ones very often; two good rows of 25 words share hardly a word triple. Equal arguments give
equal bytes.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

SHARES = {"exact": 0.30, "near": 0.08, "garbage": 0.05, "personal": 0.02}
WORDS_A_ROW = 25
EDITED = 0.08  # of the words of a near duplicate

Other = Callable[[random.Random], str]
"""Makes the text of one row of a further defect."""


def write_corpus(path: Path, rows: int, seed: int = 0, others: Mapping[str, tuple[float, Other]] | None = None) -> None:
    """Write `rows` rows to a .jsonl file. `others` are further defects: name → share of the rows, and their texts."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in corpus(rows, seed, others or {}))


def corpus(rows: int, seed: int, others: Mapping[str, tuple[float, Other]]) -> Iterator[dict[str, Any]]:
    """The rows of a corpus one by one; the texts of good rows stay in memory to be copied."""
    draw = random.Random(seed)
    shares = SHARES | {name: share for name, (share, _) in others.items()}
    defects, limits = ["", *shares], list(accumulate([1 - sum(shares.values()), *shares.values()]))
    language = _Language(draw)
    good: list[tuple[int, str]] = []
    for number in range(rows):
        (planted,) = draw.choices(defects, cum_weights=limits) if good else ("",)
        of, text = None, ""
        if planted in ("exact", "near"):
            of, text = draw.choice(good)
            text = _dressed(text, draw) if planted == "exact" else _edited(text, draw, language)
        elif planted in others:
            text = others[planted][1](draw)
        else:
            text = language.sentence(WORDS_A_ROW)
            if planted == "garbage":
                text = draw.choice(GARBAGE)(text, draw)
            elif planted == "personal":
                text = _with_personal(text, draw)
            else:
                good.append((number, text))
        yield {"prompt": text, "completion": f"answer {number}", "planted": planted, "of": of}


class _Language:
    """Some ten thousand words; the n-th is drawn with a weight of 1 / (n + 5)."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        made = ("".join(draw.choices("aeioubdgklmnprst", k=draw.randint(2, 9))) for _ in range(10_000))
        self._words = list(dict.fromkeys(made))
        self._weights = list(accumulate(1 / (rank + 5) for rank in range(len(self._words))))

    def sentence(self, words: int) -> str:
        return " ".join(self._draw.choices(self._words, cum_weights=self._weights, k=words))


def _dressed(text: str, draw: random.Random) -> str:
    """The same text for a reader: other case, spacing or end."""
    return draw.choice([text, text.upper(), text.replace(" ", "  "), f"{text}.", f" {text}!"])


def _edited(text: str, draw: random.Random, language: _Language) -> str:
    words = text.split()
    for place in draw.sample(range(len(words)), round(EDITED * len(words))):
        words[place] = f"{words[place]}{draw.choice('xyz')}"
    return " ".join(words)


GARBAGE: tuple[Callable[[str, random.Random], str], ...] = (
    lambda text, draw: "",
    lambda text, draw: "?!" * draw.randint(1, 9),
    lambda text, draw: " ".join(text.split()[:2]),
    lambda text, draw: " ".join(text.split()[:3] * 8),
    lambda text, draw: f"As an AI language model, {text}",
    lambda text, draw: " ".join([text] * 4),
)


def _with_personal(text: str, draw: random.Random) -> str:
    words = text.split()
    words.insert(draw.randrange(len(words)), draw.choice(PERSONAL)(draw))
    return " ".join(words)


def _card(draw: random.Random) -> str:
    """A number of a payment card with a valid last digit."""
    digits = [4, *(draw.randrange(10) for _ in range(14))]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    number = "".join(map(str, [*digits, -sum(doubled) % 10]))
    return " ".join(number[start : start + 4] for start in range(0, 16, 4))


PERSONAL: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: f"{draw.choice(['ann', 'bo', 'chen', 'dora'])}{draw.randrange(10**4)}@example-mail.org",
    lambda draw: f"138{draw.randrange(10**8):08}",
    lambda draw: f"+44 20 79{draw.randrange(10**2):02} {draw.randrange(10**4):04}",
    _card,
    lambda draw: "sk_live_" + "".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=24)),
)
