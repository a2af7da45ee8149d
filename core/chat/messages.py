"""What is asked of a model and what it answers; the request is also the cache key."""

from typing import Any, Literal, Protocol

from pydantic import Field

from ..digests import quick_digest
from ..samples import Message
from ..settings import Setting

Finish = Literal["stop", "length", "other"]


class ChatRequest(Setting):
    """One call of a chat model. Two equal requests to one model are one call.

    When the last message is the assistant's, the model goes on from its text; the reply is what it adds.
    """

    messages: tuple[Message, ...]
    max_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = 0
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    choices: int = Field(1, ge=1, le=64, description="independent replies wanted from one call")

    def key(self, fingerprint: str) -> str:
        """The content address of this call to the model with `fingerprint`."""
        # a single choice is not named: replies that were kept before there were several stay good
        request = self.model_dump(mode="json", exclude={"choices"} if self.choices == 1 else None)
        return quick_digest({"model": fingerprint, "request": request})


class Choice(Setting):
    """One of the replies that a call brings."""

    text: str
    finish: Finish = "stop"


class Reply(Setting):
    """A model's answer, with the tokens it cost; `more` holds the choices after the first."""

    text: str
    finish: Finish = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    more: tuple[Choice, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All replies of the call, the first one too; an endpoint may give fewer than were asked for."""
        return (Choice(text=self.text, finish=self.finish), *self.more)


class Chat(Protocol):
    """Anything that answers: an endpoint, the embedded engine, a script in a test.

    `fingerprint` names the weights and the engine that answer, so that replies can be kept;
    `parallel` is how many calls it is worth having under way at once.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def parallel(self) -> int: ...

    async def __call__(self, request: ChatRequest) -> Reply: ...

    async def aclose(self) -> None: ...
