"""The loop's own prompt around a question, so that what is served is asked as what was measured was."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ...samples import Message
from ...settings import Setting
from .bodies import Asked

Put = Callable[[str, Sequence[Message]], Sequence[Message]]
"""What a model is asked for a text, and the turns before it: `Writing.ask`."""


class Prompting(Setting):
    """How a question reaches the model. A fingerprint holds the task's prompt: an adapter was measured with it."""

    prompt: Literal["task", "as_sent"] = Field(
        "task",
        description="task: a conversation without a system message is put as the benchmark puts it, under the loop's "
        "prompt; as_sent: callers bring their own",
    )
    temperature: float = Field(0.0, ge=0, le=2, description="where the caller names none; benchmarks ask with 0")


class Prompter(NamedTuple):
    """Puts the questions of one loop; without `put` as they were sent."""

    temperature: float
    put: Put | None = None

    def __call__(self, asked: Asked) -> Asked:
        """What an engine is to get; what is remembered of the question stays what the caller sent."""
        body: dict[str, Any] = {"temperature": self.temperature, **asked.body}
        roles = {message["role"] for message in asked.messages}
        if self.put is not None and asked.path == "chat/completions" and "system" not in roles:
            *before, last = (Message.model_validate(message) for message in asked.messages)
            if last.role == "user":
                body["messages"] = [turn.model_dump() for turn in self.put(last.content, before)]
        return asked._replace(body=body)
