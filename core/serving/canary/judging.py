"""A judge's score of a reply: the mean of its grades, asked in the words of the funnel's judge.

What users wrote and what models answered is material. It stands between marks that it cannot close, and the judge is
told to do nothing that it asks for.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from ...chat.messages import Chat
from ...errors import BudgetSpent, TeacherError, WheelworkError
from ...prompts import load_template
from ...quality.review.marks import asked, question, read_marks
from ...samples import Message
from ...text import in_words
from ..exchange import Exchange
from .canary import Canary
from .taking import ToJudge

MARK = re.compile(r"<(?=\s*/?\s*(?:instruction|user|answer)\b)", re.IGNORECASE)
ROLES = ("system", "user", "assistant")
AT_ONCE = 4
PAUSE = 1.0  # seconds between two looks at what waits
AGAIN = 60  # pauses after which a judge that could not be started is started again
log = logging.getLogger(__name__)


class Judges(Protocol):
    """Gives a reply a score in [0, 1]; None where it cannot say."""

    async def __call__(self, exchange: Exchange) -> float | None: ...


class ReplyJudge:
    """Grades of accuracy, structure and truthfulness by `chat`, from 1 to 5; their mean as a score in [0, 1]."""

    def __init__(self, chat: Chat, language: str = "en", overrides: Path | None = None, max_tokens: int = 300) -> None:
        self._chat = chat
        self._template = load_template("review", "judge", language, overrides)
        self._max_tokens = max_tokens

    async def __call__(self, exchange: Exchange) -> float | None:
        """The score; None where the judge fails, or answers without grades."""
        instruction, said = asked(tuple(_messages(exchange.messages)))
        shown = {"instruction": instruction, "question": said, "answer": exchange.reply}
        quoted = {name: MARK.sub("‹", text) for name, text in shown.items()}
        try:
            reply = await self._chat(question(self._template, quoted, self._max_tokens))
        except (TeacherError, BudgetSpent):
            return None
        marks = None if reply.finish == "length" else read_marks(reply.text)
        return None if marks is None else (sum(marks.grades) / len(marks.grades) - 1) / 4


async def keep_judging(canary: Canary, opened: Callable[[ExitStack], Judges], pause: float = PAUSE) -> None:
    """Have replies judged as they come, until it is cancelled.

    `opened` starts the judge, in a thread, when the first reply waits; what it starts ends with the stack. Where it
    cannot, the log says why, the trial has no judged replies, and it is tried again.
    """
    judge: Judges | None = None
    with ExitStack() as stack:
        while True:
            await asyncio.sleep(pause)
            if not canary.waiting:
                continue
            try:
                if judge is None:
                    judge = await asyncio.to_thread(opened, stack)
            except WheelworkError as error:
                log.error("%s: no judge reads for the canary (%s)", canary.loop, error)
                await asyncio.sleep(AGAIN * pause)
                continue
            await judge_waiting(canary, judge)


async def judge_waiting(canary: Canary, judge: Judges) -> int:
    """Have all exchanges that wait judged, a few at once; returns how many were asked about."""
    count = 0
    while batch := [one for one in (canary.next_to_judge() for _ in range(AT_ONCE)) if one is not None]:
        count += len(batch)
        await asyncio.gather(*(_judge(canary, judge, one) for one in batch))
    return count


async def _judge(canary: Canary, judge: Judges, sampled: ToJudge) -> None:
    canary.judged(sampled, await judge(sampled.exchange))


def _messages(told: Sequence[dict[str, Any]]) -> list[Message]:
    """OpenAI's messages as a judge is shown them; what is no text, such as a picture, is named."""
    found = []
    for one in told:
        role, content = one.get("role"), one.get("content")
        if isinstance(content, list):
            parts = [part.get("text") or f"[{part.get('type', 'something')}]" for part in content
                     if isinstance(part, dict)]  # fmt: skip
            content = "\n".join(parts)
        text = content if isinstance(content, str) else "" if content is None else in_words(content)
        found.append(Message(role=role if role in ROLES else "user", content=text))
    return found
