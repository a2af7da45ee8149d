"""Which event starts what, and who is told of what."""

import math
import re
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ...settings import Setting

Scalar = bool | int | float | str
External = Literal["standard", "github"]
Event = Literal["round.verdict", "champion.rolled_back", "canary.decided", "drift.detected"]
EVENTS: tuple[Event, ...] = get_args(Event)
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
_PARAMETER_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DEPLOYMENT = r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
OURS = "loop"  # comes from the path of the request alone


class Parameter(Setting):
    """A parameter of a flow that a webhook may set: where its value stands in the body, and what it may be."""

    field: str = Field(
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$", description="place in the body, such as `data.samples`"
    )
    type: Literal["integer", "number", "text", "boolean"] = Field(description="what the value must be; none is turned")
    least: float | None = Field(None, description="smallest number that passes")
    most: float | None = Field(None, description="largest number that passes")
    choices: tuple[str, ...] = Field((), description="the texts that pass; empty: any up to `longest`")
    longest: int = Field(200, ge=1, le=10_000, description="characters of a text")
    required: bool = Field(False, description="refuse a delivery without it; else the flow's own default stands")

    @model_validator(mode="after")
    def _bounded(self) -> "Parameter":
        number = self.type in ("integer", "number")
        if number and (self.least is None or self.most is None):
            raise ValueError(f"a value of type {self.type} needs `least` and `most`")
        if self.least is not None and self.most is not None and not -math.inf < self.least <= self.most < math.inf:
            raise ValueError("`least` and `most` must be finite, and `least` not above `most`")
        if not number and (self.least, self.most) != (None, None):
            raise ValueError(f"`least` and `most` are for numbers, not for {self.type}")
        if self.choices and self.type != "text":
            raise ValueError("`choices` are for texts")
        return self


class Rule(Setting):
    """What one event starts."""

    deployment: str = Field(pattern=_DEPLOYMENT, description="`flow/deployment`, such as `improve/on-demand`")
    parameters: dict[str, Parameter] = Field({}, description="parameter of the flow → where it comes from")
    fixed: dict[str, Scalar] = Field({}, description="parameters that are always these")

    @model_validator(mode="after")
    def _each_once(self) -> "Rule":
        for name in (*self.parameters, *self.fixed):
            if name == OURS:
                raise ValueError("`loop` comes from the path of the request; leave it out")
            if not _PARAMETER_NAME.fullmatch(name):
                raise ValueError(f"`{name}` is no name of a parameter")
        if both := sorted(self.parameters.keys() & self.fixed.keys()):
            raise ValueError(f"`{both[0]}` stands in `parameters` and in `fixed`; leave one out")
        return self


class HookSettings(Setting):
    """Webhooks that this loop takes at `/hooks/{loop}`; none as long as there is no event. See docs/webhooks.md."""

    senders: tuple[External, ...] = Field(
        ("standard",), description="whose signatures count: Standard Webhooks (standard), GitHub's (github)"
    )
    events: dict[str, Rule] = Field({}, description="event → what it starts; every other event is refused")
    most_bytes: int = Field(262_144, ge=1_024, le=26_214_400, description="largest body")

    @field_validator("events")
    @classmethod
    def _named(cls, events: dict[str, Rule]) -> dict[str, Rule]:
        for name in events:
            if not _EVENT_NAME.fullmatch(name):
                raise ValueError(f"`{name}` is no name of an event; letters, digits and _ . : / - in at most 100")
        return events


class Receiver(Setting):
    """Somebody who is told of what happens, by a request that is signed as Standard Webhooks has it."""

    url: str = Field(description="where to; https, or http on this machine with `allow_private`")
    events: tuple[Event, ...] = Field(EVENTS, min_length=1, description="what is told; unset: all of it")
    secret_env: str = Field(pattern=_VARIABLE, description="variable of the environment that holds the `whsec_…`")
    allow_private: bool = Field(False, description="let it go to addresses of this machine and of private networks")
    timeout: float = Field(10.0, gt=0, le=60, description="seconds for one attempt")
    attempts: int = Field(10, ge=1, le=30, description="after so many the notice is given up, and that is logged")

    @field_validator("url")
    @classmethod
    def _sendable(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"this is no URL ({error})") from None
        if parts.scheme not in ("https", "http") or not host:
            raise ValueError("a receiver's URL begins with https:// and names a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a receiver's URL holds no user or password: it stands in logs; use the signature")
        if parts.fragment or any(character.isspace() or not character.isprintable() for character in url):
            raise ValueError("a receiver's URL holds no fragment and no blank")
        return url

    @model_validator(mode="after")
    def _encrypted(self) -> "Receiver":
        if self.url.lower().startswith("http:") and not self.allow_private:
            raise ValueError("http is for this machine alone, with `allow_private: true`; else use https")
        return self
