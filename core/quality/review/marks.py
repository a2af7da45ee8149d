"""What a judge and a verifier are shown of a sample, and what their replies hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...chat.messages import ChatRequest
from ...generation.mending import objects_in
from ...generation.parsing import THOUGHT, Refused, read_fields
from ...prompts import Template
from ...samples import Message, Sample
from ...text import words

CRITERIA = ("accuracy", "structure", "truthfulness")
GRADE = re.compile(r"\s*([1-5])(?:\.0+)?\s*(?:/\s*5\s*)?\.?\s*")
TRUTH = {"true": True, "yes": True, "supported": True, "false": False, "no": False, "unsupported": False}


class Shown(NamedTuple):
    """A sample as reviewers read it: what it is under, what was said up to the answer, and the answer."""

    instruction: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Marks:
    """A judge's grades from 1 to 5, in the order of CRITERIA, and the reason of each; "" where it gave none."""

    grades: tuple[int, ...]
    reasons: tuple[str, ...]

    @property
    def lowest(self) -> int:
        """The grade that decides: a sample is as good as its worst side."""
        return min(self.grades)

    @property
    def remark(self) -> str:
        """The lowest grade with its reason."""
        place = self.grades.index(self.lowest)
        said = f"{CRITERIA[place]} {self.lowest}"
        return f"{said}: {self.reasons[place]}" if self.reasons[place] else said


@dataclass(frozen=True, slots=True)
class Claim:
    """One fact that an answer states, the words that are to bear it out, and whether they do."""

    claim: str
    quote: str
    supported: bool


def shown(sample: Sample) -> Shown:
    """The last answer of a sample and all that stands before it; a conversation with its roles."""
    turns = list(sample.messages)
    while turns and turns[-1].role != "assistant":
        turns.pop()
    answer = turns.pop().content if turns else ""
    return Shown(*asked(turns or sample.messages), answer)


def asked(turns: "list[Message] | tuple[Message, ...]") -> tuple[str, str]:
    """The system prompt, and what was said under it: the text of a single message, or turn by turn."""
    said = [turn for turn in turns if turn.role != "system"]
    system = "\n\n".join(turn.content for turn in turns if turn.role == "system")
    if len(said) == 1:
        return system, said[0].content
    return system, "\n".join(f"{turn.role}: {turn.content}" for turn in said)


def question(template: Template, offered: Mapping[str, Any], max_tokens: int) -> ChatRequest:
    """The call that puts `offered` before a reviewer: greedy, so that the same sample gets the same marks."""
    messages = template.render(**offered)
    return ChatRequest(messages=messages, max_tokens=max_tokens, json_schema=template.output_schema)


def read_marks(text: str) -> Marks | None:
    """The grades in a judge's reply; None when one is missing or is no whole number from 1 to 5."""
    found = read_fields(text, CRITERIA)
    if isinstance(found, Refused):
        return None
    grades = [GRADE.fullmatch(found[name]) for name in CRITERIA]
    if not all(grades):
        return None
    reasons = [read_fields(text, (f"{name}_reason",)) for name in CRITERIA]
    return Marks(
        tuple(int(grade[1]) for grade in grades if grade),
        tuple("" if isinstance(told, Refused) else " ".join(next(iter(told.values())).split()) for told in reasons),
    )


def read_claims(text: str) -> tuple[Claim, ...] | None:
    """The claims in a verifier's reply; None when there is none, or one is told without a verdict."""
    for values in objects_in(THOUGHT.sub("", text)):
        listed = values.get("claims")
        if isinstance(listed, list) and listed:
            claims = tuple(claim for entry in listed if (claim := _claim(entry)) is not None)
            return claims if len(claims) == len(listed) else None
    return None


def _claim(entry: Any) -> Claim | None:
    if not isinstance(entry, dict):
        return None
    said, verdict = str(entry.get("claim") or "").strip(), str(entry.get("supported")).strip().casefold()
    if not words(said) or verdict not in TRUTH:  # "…" is the form that was asked for, said again
        return None
    return Claim(said, str(entry.get("quote") or "").strip(), TRUTH[verdict])
