"""Ask a model every question of a suite and score what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..chat.cache import replies_to
from ..chat.messages import Chat, ChatRequest
from ..samples import Message
from .scorers import Item, Score
from .suites import Suite

Render = Callable[[Suite, Item], tuple[Message, ...]]


@dataclass(frozen=True)
class Answered:
    """What one model answered to one suite: replies and scores, in the order of the items."""

    replies: tuple[str, ...]
    scores: tuple[Score, ...]

    @property
    def values(self) -> tuple[float | None, ...]:
        return tuple(score.value for score in self.scores)

    @property
    def mean(self) -> float | None:
        """Mean of the scored items; None when there is none."""
        scored = [value for value in self.values if value is not None]
        return sum(scored) / len(scored) if scored else None

    def table(self, suite: Suite) -> list[dict[str, Any]]:
        """One row an item, for people: question, expected, reply, score."""
        return [
            {
                "id": item.id,
                "slice": item.slice or "",
                "prompt": item.prompt,
                "expected": item.label or " | ".join(item.answers or item.keywords) or item.pattern or "",
                "reply": reply,
                "score": score.value,
                "reason": score.reason,
            }
            for item, reply, score in zip(suite.items, self.replies, self.scores, strict=True)
        ]


async def answer_suite(
    chat: Chat, suite: Suite, render: Render, progress: Callable[[int], None] = lambda done: None
) -> Answered:
    """Greedy answers of `chat` to every item; `render` makes the messages, `progress` hears how many are done."""
    requests = [ChatRequest(messages=render(suite, item), max_tokens=suite.settings.max_tokens) for item in suite.items]
    replies = [reply.text for reply in await replies_to(chat, requests, progress)]
    scores = tuple(suite.settings.scorer(reply, item) for reply, item in zip(replies, suite.items, strict=True))
    return Answered(tuple(replies), scores)
