"""Conversations that go wrong: who speaks when, who speaks for whom, in circles, or about something else."""

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import Literal, Self

from pydantic import Field, model_validator

from ...samples import Message, Sample
from ...settings import Setting
from ...text import folded, words
from ..context import Array, FunnelContext, Judgements, Need

ALIKE = 0.9  # share of common words from which a turn says what an earlier one said
FEWEST_REPEATED = 4  # words; a second `yes please` repeats nothing

SPEAKER = re.compile(
    r"^[ \t>*_-]*(?:user|customer|client|caller|human|assistant|(?:support |service )?agent|chat ?bot|bot|ai|advisor"
    r"|representative|operator|用户|顾客|客户|客服|助手|助理|机器人|坐席|人工客服)(?: ?\d)?[*_ \t]*[:：]",
    re.MULTILINE | re.IGNORECASE,
)
# a question for something of the other's, and the answer to it in the same turn
ANSWERS_ITSELF = re.compile(
    r"\byour ((?:\w+ ){0,2}\w+)\?[^\n]{0,40}?\s(?:my|it's my|yes, my) \1\b"
    r"|(?:您|你)的([\u4e00-\u9fff]{2,6}?)(?:是(?:什么|多少)|呢|吗)?[?].{0,10}我的\2"
)
CLOSING = re.compile(
    r"anything (?:else|more) (?:i|we|that|you)\b|anything else\s*[?]|(?:what|how) else can (?:i|we)\b"
    r"|is there anything (?:else|more)|let (?:me|us) know if (?:you|there)"
    r"|还有(?:什么|其他|别的)|还需要(?:什么|其他|别的|我)|还有.{0,6}可以帮"
)


class DialogueChecks(Setting):
    """Drop a conversation out of order, with empty turns, of another length, with self-talk, in circles, off its topic.

    A turn is a message of the user and the reply. `self_talk` is a turn that names speakers as a script does
    (`Agent: …`) or answers its own question; `loop` a turn that says again what its speaker said before, or one
    offer of further help too many. Scores `topic`: the lowest cosine of a later turn, message and reply together, to
    the opening one; a conversation of one turn has none. Message and reply are embedded together because a message
    alone, `which one is that?`, often has no topic.
    """

    kind: Literal["dialogue"] = "dialogue"
    min_turns: int = Field(3, ge=1, le=100, description="fewest turns")
    max_turns: int = Field(6, ge=1, le=100, description="most turns")
    max_closings: int = Field(2, ge=0, le=100, description="most replies that offer further help")
    min_topic: float = Field(
        0.05, ge=-1, le=1, description="smallest cosine of a later turn to the first; -1 asks no encoder"
    )

    @property
    def needs(self) -> tuple[Need, ...]:
        """The encoder, unless the topic is not looked at."""
        return ("encoder",) if self.min_topic > -1 else ()

    @model_validator(mode="after")
    def _some_length(self) -> Self:
        if self.min_turns > self.max_turns:
            raise ValueError("`min_turns` is above `max_turns`, so nothing would be kept")
        return self

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        reasons = [self._reason(sample.messages) for sample in batch]
        if self.min_topic <= -1:
            return Judgements(reasons)
        topics = _topics([None if reason else sample for sample, reason in zip(batch, reasons, strict=True)], context)
        drifted = [topic is not None and topic < self.min_topic for topic in topics]
        return Judgements(
            [reason or ("off_topic" if off else None) for reason, off in zip(reasons, drifted, strict=True)],
            {"topic": topics},
        )

    def _reason(self, messages: Sequence[Message]) -> str | None:
        turns = spoken(messages)
        if turns is None:
            return "role_order"
        if any(not words(turn.content) for turn in turns):
            return "empty_turn"
        if not self.min_turns <= len(turns) / 2 <= self.max_turns:
            return "turn_count"
        if any(map(talks_to_itself, turns)):
            return "self_talk"
        offers = sum(bool(CLOSING.search(folded(turn.content))) for turn in turns if turn.role == "assistant")
        return "loop" if offers > self.max_closings or goes_in_circles(turns) else None


def spoken(messages: Sequence[Message]) -> list[Message] | None:
    """What user and assistant said, without system prompts before it and tools within; None when not in turns."""
    turns: list[Message] = []
    asked_tool = False
    for message in dropwhile(lambda message: message.role == "system", messages):
        if message.role == "tool":
            asked_tool = True
            continue
        if asked_tool and turns and turns[-1].role == message.role == "assistant":
            turns.pop()  # the reply is the one after the tool's
        turns.append(message)
        asked_tool = False
    wanted = ("user", "assistant")
    in_order = all(turn.role == wanted[place % 2] for place, turn in enumerate(turns))
    return turns if turns and len(turns) % 2 == 0 and in_order else None


def talks_to_itself(turn: Message) -> bool:
    """Whether one turn speaks for both sides."""
    return bool(SPEAKER.search(turn.content) or ANSWERS_ITSELF.search(folded(turn.content)))


def goes_in_circles(turns: Sequence[Message]) -> bool:
    """Whether somebody says with nearly the same words what was said before, by whomever."""
    seen: list[frozenset[str]] = []
    for turn in turns:
        found = words(turn.content)
        own = frozenset(found)
        if len(found) >= FEWEST_REPEATED:
            if any(len(own & other) >= ALIKE * len(own | other) for other in seen):
                return True
            seen.append(own)
    return False


def _topics(batch: Sequence[Sample | None], context: FunnelContext) -> list[float | None]:
    """The lowest cosine of each sample's later turns to its first; None where there are none to judge."""
    exchanges = [_exchanges(sample) for sample in batch]
    texts = [text for own in exchanges if len(own) > 1 for text in own]
    rows: Iterator[Array] = iter(context.embed(texts) if texts else ())
    topics: list[float | None] = []
    for own in exchanges:
        if len(own) < 2:
            topics.append(None)
            continue
        opening = next(rows)
        topics.append(min(float(opening @ next(rows)) for _ in own[1:]))
    return topics


def _exchanges(sample: Sample | None) -> list[str]:
    """Each message of the user with its reply."""
    turns = (spoken(sample.messages) if sample else None) or []
    return [f"{asked.content}\n{replied.content}" for asked, replied in zip(turns[::2], turns[1::2], strict=True)]
