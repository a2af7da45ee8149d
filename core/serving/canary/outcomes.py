"""What an exchange and its feedback say of the version that answered: failed, slow, disliked."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from math import log10

from ..exchange import Exchange, Feedback

BINS, FASTEST, PER_DECADE = 120, 1e-3, 20  # a millisecond to 17 minutes, in steps of 12%
ENOUGH = 20  # latencies before any is called slow
MOST = 4096  # then all counts are halved, so that the recent ones weigh more
USUAL, SLOW = 0.5, 0.9  # quantiles


def failed(exchange: Exchange) -> bool | None:
    """Whether the answer failed by our doing; None where it says nothing, as of a request that was refused."""
    if exchange.status >= 500:
        return True
    if exchange.status >= 400:
        return None
    return bool(exchange.error)


def displeasure(feedback: Feedback) -> float | None:
    """From 0, all well, to 1: the worst of thumb, rating and correction; None where a comment is all there is."""
    told = [1.0] if feedback.correction is not None else []
    told += [float(feedback.thumb == "down")] if feedback.thumb is not None else []
    told += [(5 - feedback.rating) / 4] if feedback.rating is not None else []
    return max(told, default=None)


@dataclass(slots=True)
class Latencies:
    """Latencies in seconds, counted in bins that grow with them, and which of them are slow."""

    counts: list[int] = field(default_factory=lambda: [0] * BINS)
    total: int = 0
    edges: tuple[float, float] | None = None
    """The latencies above which an answer is slower than half, and than nine in ten."""

    def add(self, seconds: float) -> None:
        place = int(PER_DECADE * log10(max(seconds, FASTEST) / FASTEST))
        self.counts[min(place, BINS - 1)] += 1
        self.total += 1
        if self.total >= ENOUGH and (self.edges is None or self.total % 32 == 0):
            self.edges = (self._quantile(USUAL), self._quantile(SLOW))
        if self.total >= MOST:
            self.counts = [count // 2 for count in self.counts]
            self.total = sum(self.counts)

    def slowness(self, seconds: float, slower: float = 0.0) -> float | None:
        """0, ½ or 1: above neither, one or both edges, after `slower` was taken off; None while there are no edges."""
        return bisect_right(self.edges, seconds / (1 + slower)) / 2 if self.edges else None

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of the answers took at most; None without any."""
        return self._quantile(share) if self.total else None

    def _quantile(self, share: float) -> float:
        place = bisect_left(list(accumulate(self.counts)), share * self.total)
        return float(FASTEST * 10 ** ((place + 1) / PER_DECADE))
