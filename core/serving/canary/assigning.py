"""Who is in a trial: a keyed hash of who asks, so that nothing has to be remembered of anybody.

A user's place is a number in [0, 1) that depends on the user and the candidate alone. At a share s all with a place
below s are in, so whoever was in at 5% is in at 25%, and the places in two trials have nothing to do with each other.
"""

import hashlib
from collections.abc import Callable

from ..exchange import Exchange


def sticky_of(user: str, conversation: str, request: str) -> str:
    """Whom a request belongs to: its user, else its conversation, else nobody but itself (the id of its exchange)."""
    return user or conversation or request


def asker(exchange: Exchange) -> str:
    """`sticky_of` an exchange; a mirrored one belongs to whom the one belongs that it mirrors."""
    return sticky_of(exchange.user, exchange.conversation, exchange.shadow_of or exchange.id)


class Places:
    """The places of all who ask, in the trial of `candidate` of a loop. Costs about a microsecond each."""

    def __init__(self, loop: str, candidate: str, purpose: str = "") -> None:
        # no loop's name has a line end, so no two trials have one key
        key = hashlib.blake2b(f"{loop}\n{candidate}\n{purpose}".encode(), digest_size=32).digest()
        self._fresh = hashlib.blake2b(key=key, digest_size=8)

    def number(self, sticky: str) -> int:
        """64 bits, uniform."""
        hasher = self._fresh.copy()
        hasher.update(sticky.encode("utf-8", "surrogatepass"))
        return int.from_bytes(hasher.digest(), "big")

    def __call__(self, sticky: str) -> float:
        """The place of `sticky`, in [0, 1)."""
        return self.of(self.number(sticky))

    @staticmethod
    def of(number: int) -> float:
        """The place that 64 bits mean: the first 53, as many as a float holds."""
        return (number >> 11) * 2.0**-53


MakePlaces = Callable[[str, str, str], Places]
"""(loop, candidate, purpose) → places; Places itself, or others in a simulation."""
