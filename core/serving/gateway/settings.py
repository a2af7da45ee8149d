"""What of the gateway may be set: for a loop in `serve:` of its `loop.yaml`, for the door of the whole gateway."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from ...settings import Setting
from .cache import Cache

if TYPE_CHECKING:
    from .bodies import Asked


class Limits(Setting):
    """What one request, and one key, may ask of a loop."""

    max_tokens: int = Field(4096, ge=1, le=1_000_000, description="longest answer that may be asked for, in tokens")
    default_tokens: int = Field(512, ge=1, le=1_000_000, description="longest answer where the caller names none")
    messages: int = Field(200, ge=1, le=10_000, description="messages of one question")
    characters: int = Field(
        100_000, ge=1, le=10_000_000, description="characters of one question, all messages together; the engine counts"
    )
    seconds: float = Field(120, gt=0, le=3600, description="time for one answer; later it is HTTP 504")
    rate: float = Field(50, gt=0, le=100_000, description="requests a second of one API key, over time")
    burst: int = Field(100, ge=1, le=100_000, description="requests that a key may send at once after a pause")
    parallel: int = Field(32, ge=1, le=10_000, description="requests of one API key under way at once")
    shadows: int = Field(4, ge=0, le=1000, description="unheard questions of shadow mode under way at once")


class Door(Setting):
    """What the gateway as a whole lets in."""

    body_bytes: int = Field(1_048_576, ge=1024, description="largest body of a request; more is HTTP 413")
    head_bytes: int = Field(32_768, ge=1024, description="largest head of a request; more is HTTP 431")
    read_seconds: float = Field(15, gt=0, description="time for a request to arrive; later it is HTTP 408")
    idle_seconds: float = Field(75, gt=0, description="time that a connection may stay open without a request")
    in_flight: int = Field(512, ge=1, description="requests under way at once; more is HTTP 503")
    connections: int = Field(2048, ge=1, description="open connections; more are closed as they come")


class GatewaySettings(NamedTuple):
    """Everything that is set: the door, and for each loop by name its limits, its cache and its prompt."""

    limits: Mapping[str, Limits] = {}
    caches: Mapping[str, Cache] = {}
    door: Door = Door()
    prompters: Mapping[str, Callable[["Asked"], "Asked"]] = {}
