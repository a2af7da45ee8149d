"""Corpora of rows that nobody wrote, with defects planted in them; each row says what it is.

    {"prompt": …, "completion": …, "planted": "near", "of": 4711}

`planted` is empty for a good row, else the defect; `of` is the row that a copy was made from. Good rows are 25 words
of English grammar, of which two share hardly a word triple; rows in a wrong language are German, Spanish, French,
Russian or Chinese (`grammars`). Equal arguments give equal bytes.
"""

import random
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from .grammars import ENGLISH, OTHERS

SHARES = {"exact": 0.30, "near": 0.08, "garbage": 0.05, "language": 0.03, "personal": 0.02}
WORDS_A_ROW = 25
EDITED = 0.08  # of the words of a near duplicate


def write_corpus(path: Path, rows: int, seed: int = 0) -> None:
    """Write `rows` rows to a .jsonl file."""
    with path.open("wb") as stream:
        stream.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in corpus(rows, seed))


def corpus(rows: int, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of a corpus one by one; the texts of good rows stay in memory to be copied."""
    draw = random.Random(seed)
    defects, limits = ["", *SHARES], list(accumulate([1 - sum(SHARES.values()), *SHARES.values()]))
    english, others = ENGLISH.sentences(draw), [grammar.sentences(draw) for grammar in OTHERS]
    good: list[tuple[int, str]] = []
    for number in range(rows):
        (planted,) = draw.choices(defects, cum_weights=limits) if good else ("",)
        of = None
        if planted in ("exact", "near"):
            of, text = draw.choice(good)
            text = (_dressed if planted == "exact" else _edited)(text, draw)
        elif planted == "language":
            text = draw.choice(others)()
        elif planted == "garbage":
            text = draw.choice(GARBAGE)(english(), draw)
        elif planted == "personal":
            text = _with_personal(english(), draw)
        else:
            good.append((number, text := english()))
        yield {"prompt": text, "completion": f"answer {number}", "planted": planted, "of": of}


def _dressed(text: str, draw: random.Random) -> str:
    """The same text for a reader: other case, spacing or end."""
    return draw.choice([text, text.upper(), text.replace(" ", "  "), f"{text}.", f" {text}!"])


def _edited(text: str, draw: random.Random) -> str:
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
