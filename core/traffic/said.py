"""What a stored exchange asked and was answered, in the terms of its loop. Texts of users are data: only compared."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..digests import SHORT, digest_of
from ..generation.documents import Passage
from ..samples import Message, Role
from ..serving.exchange import Exchange
from ..text import normalised
from .archive import Voiced

SPOKEN: dict[str, Role] = {"user": "user", "assistant": "assistant"}


class Question(NamedTuple):
    """What a user said last, the turns before it, and the passage that it was asked about, if any."""

    text: str
    history: tuple[Message, ...] = ()
    passage: str = ""

    @property
    def key(self) -> str:
        """Equal for questions that ask the same, but for case and spacing."""
        before = [[turn.role, normalised(turn.content)] for turn in self.history]
        return digest_of([normalised(self.text), before, self.passage])[:SHORT]


def question_of(exchange: Exchange, passages: Mapping[str, Passage]) -> Question | None:
    """The question of an exchange; None where no text was stored, or where the user did not have the last word.

    A system prompt is the caller's or the gateway's, not the user's: it tells the passage, and is left out.
    """
    turns, system = list[Message](), list[str]()
    for message in exchange.messages:
        role, text = str(message.get("role")), text_of(message.get("content"))
        if role in ("system", "developer"):
            system.append(text)
        elif role in SPOKEN and text.strip():
            turns.append(Message(role=SPOKEN[role], content=text))
        elif role not in SPOKEN:
            return None  # what a tool said stands between question and answer
    if not turns or turns[-1].role != "user":
        return None
    told = "\n".join(system)
    passage = next((name for name, one in passages.items() if one.text in told), "") if told else ""
    return Question(turns[-1].content, tuple(turns[:-1]), passage)


def text_of(content: Any) -> str:
    """The text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def label_in(text: str, labels: Iterable[str]) -> str | None:
    """Which of `labels` a text is, but for case and spacing; None where it is none."""
    said = normalised(text)
    return next((label for label in labels if normalised(label) == said), None)


def opinion(one: Voiced) -> bool | None:
    """Whether the user was content with the answer, by the last thumb or rating; None where there is neither."""
    content: bool | None = None
    for said in one.said:
        if said.rating is not None:
            content = said.rating >= 4
        if said.thumb is not None:
            content = said.thumb == "up"
    return content


def correction_in(one: Voiced) -> str | None:
    """The last correction of an exchange that says something."""
    given = [said.correction.strip() for said in one.said if said.correction and said.correction.strip()]
    return given[-1] if given else None
