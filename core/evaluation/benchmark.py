"""Ask a model every question of a suite, as often as the suite says, and score what it says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..chat.cache import replies_to
from ..chat.messages import Chat, ChatRequest
from ..errors import ConfigError
from ..samples import Message
from .scorers import Answer, Item, Opened, Plain, Score, Together
from .scorers.item import Scoring
from .suites import Suite

Render = Callable[[Suite, Item], tuple[Message, ...]]
Replies = tuple[tuple[str, ...], ...]
"""Of each item as many replies as the suite has repeats."""


@dataclass(frozen=True)
class Answered:
    """What one model answered to one suite, in the order of the items: the first reply, and the score.

    Where an item was asked several times `drawn` holds all of its replies, and the score is their mean. `notes` are
    sentences that people should know of the scores.
    """

    replies: tuple[str, ...]
    scores: tuple[Score, ...]
    drawn: Replies = ()
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[float | None, ...]:
        return tuple(score.value for score in self.scores)

    @property
    def every_reply(self) -> Replies:
        """All replies to each item."""
        return self.drawn or tuple((reply,) for reply in self.replies)

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
                "expected": expected(item),
                "reply": reply,
                "score": score.value,
                "reason": score.reason,
            }
            for item, reply, score in zip(suite.items, self.replies, self.scores, strict=True)
        ]


def expected(item: Item) -> str:
    """What a right reply to `item` is or holds, in a line."""
    if item.choice is not None:
        return item.choices[item.choice]
    return item.label or " | ".join(item.answers or item.keywords) or item.pattern or ""


async def answer_suite(
    chat: Chat, suite: Suite, render: Render, progress: Callable[[int], None] = lambda done: None
) -> Answered:
    """Answers of `chat` to every item of a suite whose scorer needs a reply and its item alone.

    `render` makes the messages, `progress` hears how many answers are there. Raises ConfigError for a scorer that
    needs more.
    """
    replies = await ask_suite(chat, suite, render, progress)
    return score_replies(suite, replies, render, Opened())


async def ask_suite(
    chat: Chat, suite: Suite, render: Render, progress: Callable[[int], None] = lambda done: None
) -> Replies:
    """The replies of `chat` to every item, as many as the suite has repeats: greedy, or each with a seed of its own.

    Items whose prompts begin alike are asked one after the other, so that an engine finds the beginning read already.
    """
    settings = suite.settings
    asked = [render(suite, item) for item in suite.items]
    order = sorted(range(len(asked)), key=lambda at: [(turn.role, turn.content) for turn in asked[at]])
    requests = (
        ChatRequest(messages=asked[at], max_tokens=settings.max_tokens, temperature=settings.temperature, seed=seed)
        for at in order
        for seed in range(settings.repeats)
    )
    texts = [reply.text for reply in await replies_to(chat, requests, progress)]
    found: list[tuple[str, ...]] = [()] * len(asked)
    for place, at in enumerate(order):
        found[at] = tuple(texts[place * settings.repeats : (place + 1) * settings.repeats])
    return tuple(found)


def score_replies(suite: Suite, replies: Replies, render: Render, opened: Opened) -> Answered:
    """Score all replies to a suite; those of one item are averaged. Raises as the scorer does."""
    answers = [
        Answer(item, render(suite, item), reply)
        for item, own in zip(suite.items, replies, strict=True)
        for reply in own
    ]
    scores = iter(_scored(suite, answers, opened))
    of_items = [mean_score([next(scores) for _ in own]) for own in replies]
    return Answered(
        replies=tuple(own[0] for own in replies),
        scores=tuple(of_items),
        drawn=replies if suite.settings.repeats > 1 else (),
        notes=tuple(opened.notes),
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """The score of an item that was asked several times: the mean, unscored where less than half of them are scored."""
    if len(scores) == 1:
        return scores[0]
    known = [score.value for score in scores if score.value is not None]
    if 2 * len(known) < len(scores) or not known:
        return next(score for score in scores if score.value is None)
    return Score(fmean(known))


def _scored(suite: Suite, answers: Sequence[Answer], opened: Opened) -> list[Score]:
    scorer = suite.settings.scorer
    if isinstance(scorer, Plain):
        return [scorer(one.reply, one.item) for one in answers]
    if isinstance(scorer, Together) and _opened(scorer, opened):
        return scorer.score_all(answers, opened)
    raise ConfigError(f"suite `{suite.name}`: the scorer `{scorer.kind}` needs more than replies, which is not here")


def _opened(scorer: Scoring, opened: Opened) -> bool:
    there: Mapping[str, object] = {"models": opened.models, "review": opened.review, "rival": opened.rival}
    return all(there[need] is not None for need in scorer.needs)
