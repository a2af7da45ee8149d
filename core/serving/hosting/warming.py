"""The first question: a version that does not answer it gets no traffic."""

import asyncio
from typing import Any

from ...engines.base import Engine
from ...errors import DependencyError, ServingError
from .parts import Hosted, Question

A_WORD: Question = ({"role": "user", "content": "Hello."},)
"""What shows that an engine answers, without its reading the loop's prompt, which takes a small processor seconds."""


class NotReadyError(Exception):
    """An engine that did not come up as it should. `blamed` are the versions at fault; none: it is the engine itself.

    `lasting`: trying the same again would end the same.
    """

    def __init__(self, reason: str, blamed: tuple[str, ...] = (), *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.blamed = blamed
        self.lasting = lasting


async def ask_first(engine: Engine, adapter: str | None, hosted: Hosted, question: Question) -> None:
    """Ask `question` as a caller would; greedy and short. Raises NotReadyError that blames nobody."""
    settings = hosted.settings
    body: dict[str, Any] = {
        "messages": list(question), "max_tokens": settings.warm_up_tokens, "temperature": 0
    }  # fmt: skip
    try:
        async with asyncio.timeout(settings.warm_up):
            reply = await engine.answer("chat/completions", body, adapter)
    except TimeoutError:
        raise NotReadyError(f"its first answer took longer than {settings.warm_up:g} s", lasting=False) from None
    except Exception as error:
        raise NotReadyError(f"its first answer failed: {in_words(error)}", lasting=is_lasting(error)) from error
    if (wrong := _wrong(reply)) is not None:
        raise NotReadyError(f"its first answer is none: {wrong}")


def is_lasting(error: Exception) -> bool:
    """Whether the same would fail again: not where an engine was busy or away."""
    if isinstance(error, ServingError):
        return error.status not in (408, 429, 502, 503, 504)
    return not isinstance(error, DependencyError | OSError | TimeoutError)


def in_words(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _wrong(reply: Any) -> str | None:
    """What is wrong with a reply in OpenAI's form; an empty text is fine, a model may have nothing to say."""
    try:
        text = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return "no choice with a message"
    return None if text is None or isinstance(text, str) else f"a message of {type(text).__name__}"
