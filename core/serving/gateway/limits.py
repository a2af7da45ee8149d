"""How much of a loop one API key may use: so many requests a second over time, so many at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...errors import ServingError
from .settings import Limits


class Use:
    """A bucket of tokens that fills by `rate` a second up to `burst`, and how many requests are under way."""

    __slots__ = ("at", "tokens", "under_way")

    def __init__(self, burst: float, at: float) -> None:
        self.tokens = burst
        self.at = at
        self.under_way = 0


class Uses:
    """The use of every key; `clock` never goes back (seconds)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._uses: dict[tuple[str, str], Use] = {}

    @contextmanager
    def one(self, key: str, loop: str, limits: Limits, rate: float | None, parallel: int | None) -> Iterator[None]:
        """Take one request's share of what `key` may use of `loop`; `rate` and `parallel` of the key go before.

        Raises ServingError (429), with the seconds after which asking again helps.
        """
        use = self._use(key, loop, limits)
        fill, most = rate or limits.rate, parallel or limits.parallel
        burst = max(1.0, limits.burst if rate is None else 2 * rate)
        now = self._clock()
        use.tokens, use.at = min(burst, use.tokens + (now - use.at) * fill), now
        if use.under_way >= most:
            raise _too_many(f"this key has {most} requests under way, as many as it may", 1.0)
        if use.tokens < 1:
            raise _too_many(f"this key may send {fill:g} requests a second", (1 - use.tokens) / fill)
        use.tokens -= 1
        use.under_way += 1
        try:
            yield
        finally:
            use.under_way -= 1

    def _use(self, key: str, loop: str, limits: Limits) -> Use:
        if (use := self._uses.get((key, loop))) is None:
            use = self._uses[key, loop] = Use(limits.burst, self._clock())
        return use


def _too_many(why: str, seconds: float) -> ServingError:
    after = max(1, math.ceil(seconds))
    return ServingError(
        429, f"{why}; ask again in {after} s", type="rate_limit_error", code="rate_limit_exceeded", retry_after=after
    )
