"""One question on its way through the gateway: what is known of it, its reply in OpenAI's form, its record."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...errors import ServingError
from ..exchange import Exchange, Role
from ..parts import Lease, Routed
from .bodies import Asked, Path
from .cache import Answer
from .draws import drawn
from .names import name_of

OBJECTS: dict[Path, str] = {"chat/completions": "chat.completion", "completions": "text_completion"}
CHUNKS: dict[Path, str] = {"chat/completions": "chat.completion.chunk", "completions": "text_completion"}
PREFIXES: dict[Path, str] = {"chat/completions": "chatcmpl-", "completions": "cmpl-"}


def new_id(path: Path) -> str:
    """The id of an exchange: a caller that knows it may say what it thought of the answer, so none is guessed."""
    return PREFIXES[path] + drawn(16)


class End(NamedTuple):
    """How a question ended: with an answer or an error, of which version, in which role."""

    version: str
    role: Role
    answer: Answer | None = None
    cached: bool = False
    error: ServingError | None = None


@dataclass(slots=True)
class Question:
    """A checked question, and what became of it so far."""

    asked: Asked
    id: str
    at: float  # seconds since 1970
    started: float  # of the same clock as `time.perf_counter`
    loop: str
    wanted: str | None  # the version that was named
    sticky: str
    key: str
    user: str
    conversation: str
    routed: Routed
    begun: bool = False  # whether the head of the answer was sent
    first: float | None = None  # seconds to the first piece of a streamed answer
    pieces: list[str] = field(default_factory=list)  # texts of a streamed answer

    def head(self, lease: Lease) -> dict[str, Any]:
        """What every reply and every chunk begins with."""
        kinds = CHUNKS if self.asked.stream else OBJECTS
        return {
            "id": self.id,
            "object": kinds[self.asked.path],
            "created": int(self.at),
            "model": name_of(self.loop, lease.version),
            "system_fingerprint": f"fp_{lease.fingerprint[:16]}",
        }

    def exchange(self, end: End, shadow_of: str | None = None) -> Exchange:
        """What is remembered of it. An answer that broke off is kept as far as it came."""
        answer, error = end.answer, end.error
        usage = answer.usage if answer else {}
        return Exchange(
            id=self.id, at=self.at, loop=self.loop, version=end.version, role=end.role, key=self.key, user=self.user,
            conversation=self.conversation, messages=self.asked.messages,
            reply=answer.text if answer else "".join(self.pieces), finish=answer.finish if answer else "",
            status=error.status if error else 200, error=error.type if error else "",
            latency=time.perf_counter() - self.started, first_token=self.first,
            prompt_tokens=usage.get("prompt_tokens", 0), completion_tokens=usage.get("completion_tokens", 0),
            cached=end.cached, shadow_of=shadow_of,
        )  # fmt: skip


def read_reply(path: Path, reply: Mapping[str, Any]) -> Answer:
    """An engine's reply without what names the request. Raises ServingError (502) for one without a choice."""
    try:
        choices = [_choice(path, choice) for choice in reply["choices"]]
        text = choices[0]["message"]["content"] if path == "chat/completions" else choices[0]["text"]
        return Answer(choices, usage_of(reply.get("usage")), text, choices[0]["finish_reason"] or "")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise no_answer() from None


def usage_of(told: Mapping[str, Any] | None) -> dict[str, Any]:
    """OpenAI's usage; counts that the engine does not tell are 0."""
    told = told or {}
    read, written = (int(told.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def no_answer() -> ServingError:
    return ServingError(502, "the engine gave no answer that could be read", type="server_error", code="bad_engine")


def _choice(path: Path, choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice as OpenAI gives it; engines add figures of their own."""
    told: dict[str, Any] = {
        "index": int(choice.get("index", 0)),
        "finish_reason": choice.get("finish_reason") or "stop",
    }
    if path == "chat/completions":
        message = choice["message"]
        told["message"] = {"role": "assistant", "content": str(message.get("content") or "")}
    else:
        told["text"] = str(choice.get("text") or "")
    told["logprobs"] = choice.get("logprobs")
    return told
