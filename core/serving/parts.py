"""What the gateway asks of its parts. Each is given to it; none knows the gateway."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol

from ..engines.base import Engine
from .exchange import Exchange, Feedback, Role


class Routed(NamedTuple):
    """Who answers a request, and who is asked beside it without being heard."""

    version: str
    role: Role
    shadow: str | None = None


class Lease(NamedTuple):
    """An engine that stays up for as long as the lease is held, and the adapter to ask it for; None is the base."""

    version: str
    engine: Engine
    adapter: str | None
    fingerprint: str


class Served(NamedTuple):
    """A version that can be asked, as `/v1/models` lists it."""

    loop: str
    version: str
    role: Role
    since: float


class Health(NamedTuple):
    """How a part is. `degraded` goes on with less and says what in `note`; `down` cannot do its work."""

    part: str
    state: Literal["ok", "degraded", "down"]
    note: str = ""


class Hosting(Protocol):
    """The loops that are served, by name, with their engines; swaps versions while requests are under way."""

    @property
    def loops(self) -> Sequence[str]: ...

    def route(self, loop: str, version: str | None, sticky: str) -> Routed:
        """Who answers: the version named, else the champion, or the candidate of a canary for its share of `sticky`.

        Raises ServingError (status 404) for a loop or a version that is not served here.
        """
        ...

    def lease(self, loop: str, version: str) -> AbstractAsyncContextManager[Lease]:
        """Hold an engine that serves `version`; it is neither stopped nor changed until the lease ends.

        Raises ServingError: 404 for a version that went away, 503 while there is no engine.
        """
        ...

    def served(self) -> Sequence[Served]: ...

    def health(self) -> Sequence[Health]: ...


class Traffic(Protocol):
    """The memory of what was asked and answered. Neither call waits for a disk."""

    def record(self, exchange: Exchange) -> None: ...

    def feedback(self, feedback: Feedback) -> None:
        """Raises ServingError (404) where no such exchange is known, and (403) where another key asked it."""
        ...

    def health(self) -> Health: ...

    def counts(self) -> Mapping[str, int]:
        """What became of the exchanges since the start: `stored`, `spooled`, `dropped`, `waiting`."""
        ...
