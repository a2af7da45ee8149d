"""A message as others might have typed it: without some of its words, in another case, with a slip of the fingers."""

import random
import re

# a word with the space before it; each sign of a script without spaces is a word, as in `text.words`
PIECE = re.compile(r"\s*(?:[\u3040-\u9fff]|[^\s\u3040-\u9fff]+)")
LOWERED, UNSTOPPED, SLIPPED = 0.2, 0.2, 0.3  # share of the texts in small letters, without end marks, with a slip


def as_typed(text: str, share: float, random: random.Random) -> str:
    """`text` with each word left out at the odds `share`, as long as one stays; case, end and letters vary too.

    A training that meets each text otherwise in every epoch learns its gist, not its wording (docs/log.md; the idea of
    EDA, Wei & Zou 2019, but drawn anew each time).
    """
    pieces: list[str] = PIECE.findall(text)
    typed = "".join([piece for piece in pieces if random.random() >= share] or pieces).strip()
    if random.random() < LOWERED:
        typed = typed.lower()
    if random.random() < UNSTOPPED:
        typed = typed.rstrip(".!?。！？") or typed
    return _slipped(typed, random) if random.random() < SLIPPED else typed


def _slipped(text: str, random: random.Random) -> str:
    """Two neighbouring letters of one word in the wrong order; a script without spaces has no such slip."""
    places = [place.start() for place in re.finditer(r"(?=[a-zA-Z]{2})", text)]
    if not places:
        return text
    place = random.choice(places)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
