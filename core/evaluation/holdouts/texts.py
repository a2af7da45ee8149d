"""What is compared when training data is checked against suites: what users say in it, turn by turn."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ...samples import Message, Sample
from ...text import normalised
from ..scorers import Item
from ..suites import Suite

LINE = "\n"  # between the turns of a conversation


class Said(NamedTuple):
    """Something that a user says: alone, or with all that the same user said before in the conversation."""

    text: str
    place: str
    """Where a person finds it: file and line, or the id of a sample."""
    part: str
    """The suite that holds it out; of what is trained on, which part of the data it is: seeds, kept, replayed …"""
    passage: str = ""
    """What it is asked about, where that is a passage: the same question about another one is another question."""
    talk: bool = False
    """Whether earlier turns are in it."""
    id: str = ""
    """The sample's, where it is trained on."""


def held_out_in(suites: Mapping[str, Suite]) -> list[Said]:
    """What the suites ask, item by item. What follows other turns is compared with all of them."""
    return [
        said_of(item, name, f"{suite.path.name}:{line}")
        for name, suite in suites.items()
        for line, item in zip(suite.lines, suite.items, strict=True)
    ]


def said_of(item: Item, part: str, place: str) -> Said:
    """What an item asks."""
    turns = [*users(item.history), item.prompt]
    return Said(_together(turns), place, part, LINE.join(item.passages), talk=len(turns) > 1)


def learnt_from(samples: Iterable[Sample], part: str) -> list[Said]:
    """What users say in `samples`: each turn alone, and each but the first with those before it."""
    said: dict[tuple[str, str], Said] = {}
    for sample in samples:
        turns, passage = users(sample.messages), sample.controls.get("passage", "")
        place = sample.source if part in ("seeds", "rehearsal") else sample.id
        for number, turn in enumerate(turns, 1):
            for text, talk in ((turn, False), (_together(turns[:number]), True))[: 1 + (number > 1)]:
                said.setdefault((sample.id, text), Said(text, place, part, passage, talk, sample.id))
    return list(said.values())


def _together(turns: Sequence[str]) -> str:
    """Turns as one text; of several, what ends each of them does not count."""
    return turns[0] if len(turns) == 1 else LINE.join(map(normalised, turns))


def users(turns: Iterable[Message]) -> list[str]:
    """The turns of the user, oldest first."""
    return [turn.content for turn in turns if turn.role == "user"]
