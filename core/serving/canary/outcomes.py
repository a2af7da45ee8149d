"""What an exchange and its feedback say of the version that answered: failed, slow, disliked."""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from math import log10

from ..exchange import Exchange, Feedback

BINS, FASTEST, PER_DECADE = 120, 1e-3, 20  # a millisecond to 17 minutes, in steps of 12%
ENOUGH = 20  # latencies before any is ranked
ANEW = 32  # latencies after which the ranks are taken anew
MOST = 4096  # then all counts are halved, so that the recent ones weigh more


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
    """Latencies in seconds, counted in bins that grow with them, and the rank of others among them."""

    counts: list[int] = field(default_factory=lambda: [0] * BINS)
    total: int = 0
    ranks: list[float] | None = None
    """Of each bin, the share of the latencies below it and half of those in it."""

    def add(self, seconds: float) -> None:
        self.counts[bin_of(seconds)] += 1
        self.total += 1
        if self.total >= ENOUGH and (self.ranks is None or self.total % ANEW == 0):
            reached = accumulate(self.counts)
            self.ranks = [(upto - own / 2) / self.total for upto, own in zip(reached, self.counts, strict=True)]
        if self.total >= MOST:
            self.counts = [count // 2 for count in self.counts]
            self.total = sum(self.counts)

    def slowness(self, seconds: float, slower: float = 0.0) -> float | None:
        """The rank in [0, 1] (a ridit, Bross 1958), after `slower` was taken off; None while there are no ranks.

        Its mean over latencies like these is ½, over others the chance that they are the longer ones.
        """
        return None if self.ranks is None else self.ranks[bin_of(seconds / (1 + slower))]

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of the answers took at most; None without any."""
        if not self.total:
            return None
        place = bisect_left(list(accumulate(self.counts)), share * self.total)
        return float(FASTEST * 10 ** ((place + 1) / PER_DECADE))


def bin_of(seconds: float) -> int:
    """The bin that a latency is counted in; what is beyond them counts as the last."""
    return min(int(PER_DECADE * log10(max(seconds, FASTEST) / FASTEST)), BINS - 1)
