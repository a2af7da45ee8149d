"""What the gateway asks of two more parts, which may be missing: webhooks, and the labels of recent questions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Hooks(Protocol):
    """Who receives webhooks; it verifies them by their signatures, no API key is asked for."""

    def most_bytes(self, loop: str) -> int:
        """The largest body that a loop takes."""
        ...

    async def handle(
        self, loop: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], Mapping[str, Any]]:
        """Status, headers and JSON of the answer. `headers` has names in lower case. May raise ServingError."""
        ...


class Intent(NamedTuple):
    """A label that recent questions got, how many of them, and when the last one came (seconds since 1970)."""

    label: str
    questions: int
    latest: float


class Intents(Protocol):
    """The labels of recent questions."""

    async def intents(self, loop: str, hours: float, limit: int) -> Sequence[Intent]:
        """Labels of the last `hours`, the most frequent first, at most `limit`."""
        ...
