"""Which messages of a sample a filter looks at."""

from collections.abc import Iterator, Sequence
from typing import Literal

from ..samples import Sample

Part = Literal["prompt", "answer", "history"]
"""`prompt`: what the user said last. `answer`: what the assistant said last, where it is no class. `history`: what
user and assistant said before these. System prompts and tools are nobody's writing, and never judged."""

PROMPT: tuple[Part, ...] = ("prompt",)
ANSWER: tuple[Part, ...] = ("answer",)
SAID: tuple[Part, ...] = ("prompt", "answer", "history")


def texts_of(sample: Sample, parts: Sequence[Part]) -> Iterator[str]:
    """The texts that are judged; a sample with a label, whose answer is the label, has no `answer`."""
    if parts == PROMPT:  # the common case
        yield sample.prompt
        return
    last: dict[str, int] = {}
    for place, turn in enumerate(sample.messages):
        last[turn.role] = place
    asked, answered = last.get("user", -1), last.get("assistant", -1)
    if "prompt" in parts:
        yield sample.messages[asked].content if asked >= 0 else ""
    if "answer" in parts and answered >= 0 and sample.label is None:
        yield sample.messages[answered].content
    if "history" in parts:
        for place, turn in enumerate(sample.messages):
            if place not in (asked, answered) and turn.role in ("user", "assistant"):
                yield turn.content
