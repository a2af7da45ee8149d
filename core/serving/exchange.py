"""What is remembered of one question and its answer, and what a user said of it."""

from typing import Any, Literal

from pydantic import Field

from ..settings import Setting

Role = Literal["champion", "candidate", "pinned", "shadow", "base"]
"""Why a version answered: it is in production, on trial, named by the caller, asked unseen, or no adapter."""

BASE = "base"
"""The version of an answer that no adapter gave."""


class Exchange(Setting):
    """One answered request. `id` is what the caller got (`chatcmpl-…`), and what feedback names."""

    id: str
    at: float = Field(description="when the request came, seconds since 1970")
    loop: str
    version: str = Field(description="version in the registry, or `base`")
    role: Role
    key: str = Field("", description="name of the API key that asked; empty: none was needed")
    user: str = Field("", description="hash of who asked; empty: unknown")
    conversation: str = Field("", description="hash of the conversation; empty: unknown")
    messages: tuple[dict[str, Any], ...] = Field(description="what was asked, in OpenAI's form")
    reply: str = Field(description="the first choice's text; empty after an error")
    finish: str = ""
    status: int = Field(200, description="HTTP status of the answer")
    error: str = Field("", description="OpenAI's error type; empty: none")
    latency: float = Field(description="seconds from the request to the last byte of the answer")
    first_token: float | None = Field(None, description="seconds to the first piece of a streamed answer")
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = Field(False, description="answered from the response cache, or with another's identical request")
    shadow_of: str | None = Field(None, description="id of the exchange that this one mirrors; nobody saw its reply")


class Feedback(Setting):
    """What a user said of an exchange. At least one of the four is given."""

    exchange: str = Field(description="id of the exchange")
    at: float
    key: str = ""
    thumb: Literal["up", "down"] | None = None
    rating: int | None = Field(None, ge=1, le=5)
    correction: str | None = Field(None, description="the answer that should have been given")
    comment: str | None = None
