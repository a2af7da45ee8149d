"""Pairs of answers of which users preferred one, in the columns that `wheelwork review preference` takes. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ..generation.documents import Passage
from ..rows import Row
from ..text import normalised
from .archive import Voiced
from .said import correction_in, label_in, opinion, question_of

SCHEMA = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected", "of")])
"""`of` names the exchanges, so that a user's pairs can be taken out."""


Told = dict[str, tuple[str, str, str]]
"""Of each different reply: the question, the reply and the exchange."""


class Preferred(NamedTuple):
    """An answer that was preferred to another, and the exchanges that tell so."""

    prompt: str
    chosen: str
    rejected: str
    of: tuple[str, ...]

    @property
    def row(self) -> Row:
        return {"prompt": self.prompt, "chosen": self.chosen, "rejected": self.rejected, "of": " ".join(self.of)}


def pairs_in(
    found: Iterable[Voiced],
    labels: Sequence[str],
    passages: Mapping[str, Passage],
    held_out: Callable[[str], bool],
) -> list[Preferred]:
    """A correction goes before the reply that it corrects, a liked reply before a disliked one to the same question.

    Of a loop with `labels` only a correction that is one counts. Questions that are `held_out` are left out: what is
    measured on them must know nothing of their answers.
    """
    pairs: dict[tuple[str, str, str], Preferred] = {}
    # of replies that say the same one will do: a question that is asked every day has thousands
    liked, disliked = defaultdict[str, Told](dict), defaultdict[str, Told](dict)

    def add(prompt: str, chosen: str, rejected: str, *of: str) -> None:
        if chosen.strip() and rejected.strip() and normalised(chosen) != normalised(rejected):
            pairs.setdefault((prompt, chosen, rejected), Preferred(prompt, chosen, rejected, of))

    for one in found:
        question = question_of(one.exchange, passages)
        if question is None or not question.text.strip() or held_out(question.text):
            continue
        content, right = opinion(one), correction_in(one)
        if labels and right is not None:
            right = label_in(right, labels)
        if right is not None:
            add(question.text, right, one.exchange.reply, one.exchange.id)
        if content is not None:
            told = (liked if content else disliked)[question.key]
            told.setdefault(normalised(one.exchange.reply), (question.text, one.exchange.reply, one.exchange.id))
    for key in liked:
        for prompt, better, of in liked[key].values():
            for _, worse, against in disliked.get(key, {}).values():
                add(prompt, better, worse, of, against)
    return list(pairs.values())


def pairs_path(home: Path, loop: str) -> Path:
    """Where the pairs of a loop lie."""
    return home / "traffic" / f"{loop}.pairs.jsonl"


def merged(before: Iterable[Row], pairs: Iterable[Preferred]) -> list[Row]:
    """The rows of a file, and after them the pairs that it lacks."""
    rows = {(row["prompt"], row["chosen"], row["rejected"]): row for row in before}
    for pair in pairs:
        rows.setdefault((pair.prompt, pair.chosen, pair.rejected), pair.row)
    return list(rows.values())
