"""Tests of two arms that may be looked at after every request: money that is staked against a hypothesis.

Each outcome y in [0, 1] (1 is bad) comes from the candidate with a share w that is known beforehand. With any middle m
that is fixed before the outcome is seen,

    z = (y − m)/w    from the candidate,        z = −(y − m)/(1 − w)    from the stable version

has the mean E[y | candidate] − E[y | stable] (inverse propensity weights with a control variate; Robins, Rotnitzky &
Zhao 1994). Under "the candidate is worse by no more than t" z − t has a mean of at most 0, so that a gambler who starts
with 1 and stakes the share c of what the worst outcome would take,

    capital ← capital · (1 + c · (z − t) / worst),      0 ≤ c < 1,

does not grow rich: the capital is a supermartingale, and the chance that it *ever* reaches 1/α is at most α (Ville
1939). That holds whenever one looks and however one stops (Waudby-Smith & Ramdas 2024, "Estimating means of bounded
random variables by betting"; with known shares Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2024, "Anytime-valid
off-policy inference for contextual bandits"). The mean of several such capitals with stakes of their own is one too;
it does nearly as well as the best of them (their "diversified Kelly"). The capital is the evidence against the
hypothesis, as odds: an e-value.

It needs no model of y. When the share is drawn by chance, as by a hash, and both versions would have given a user the
same, the hypothesis is true whatever users are like.
"""

from dataclasses import dataclass, field
from math import exp, log, log1p

FRACTIONS = tuple(0.9 / 2**halved for halved in range(6))
"""Shares of what could be lost at most that are staked: 0.9 for rare events, 0.03 for small differences."""


@dataclass(slots=True)
class Bets:
    """The logarithms of the capital of each stake, and the highest that their mean ever was."""

    logs: list[float] = field(default_factory=lambda: [0.0] * len(FRACTIONS))
    peak: float = 0.0

    def bet(self, gain: float, worst: float) -> None:
        """Take in an outcome that wins `gain` where the worst of all would have lost `worst`, in the same unit."""
        ratio = gain / worst
        logs = self.logs
        for at, fraction in enumerate(FRACTIONS):
            logs[at] += log1p(fraction * ratio)
        if max(logs) > self.peak:  # else the mean cannot be
            self.peak = max(self.peak, self.log_value)

    @property
    def log_value(self) -> float:
        """Logarithm of the mean capital."""
        most = max(self.logs)
        return most + log(sum(exp(one - most) for one in self.logs) / len(self.logs))

    @property
    def odds(self) -> float:
        """The highest evidence so far against the hypothesis; its inverse is a p-value that is valid at any time."""
        return exp(min(self.peak, 700.0))


@dataclass(slots=True)
class Comparison:
    """One kind of outcome in both arms, and what is staked against "no harm" and against "harm beyond the margin".

    `outcomes`, `bad` are (stable, candidate). `allowed` sums the outcomes as they are held against the margin.
    """

    outcomes: list[int] = field(default_factory=lambda: [0, 0])
    bad: list[float] = field(default_factory=lambda: [0.0, 0.0])
    allowed: float = 0.0
    harm: Bets = field(default_factory=Bets)
    safe: Bets = field(default_factory=Bets)

    def add(
        self, candidate: bool, share: float, bad: float, tolerance: float, margin: float, allowed: float | None = None
    ) -> None:
        """Take in an outcome, `bad` in [0, 1], whose arm is the candidate's with the chance `share`.

        `allowed` is the outcome as it is held against the margin, where that is another one.
        """
        allowed = bad if allowed is None else allowed
        count = self.outcomes[0] + self.outcomes[1] + 1
        middle, middle_allowed = (self.bad[0] + self.bad[1] + 0.1) / count, (self.allowed + 0.1) / count
        difference, least, _ = seen(candidate, share, bad, middle)
        self.harm.bet(difference - tolerance, tolerance - least)
        difference, _, most = seen(candidate, share, allowed, middle_allowed)
        self.safe.bet(margin - difference, most - margin)
        self.outcomes[candidate] += 1
        self.bad[candidate] += bad
        self.allowed += allowed

    def mean(self, candidate: bool) -> float | None:
        """How bad the outcomes of an arm are on average; None without any."""
        return self.bad[candidate] / self.outcomes[candidate] if self.outcomes[candidate] else None


ANEW = 128  # outcomes after which a further capital begins


@dataclass(slots=True)
class Restarted:
    """Bets of which some begin late, so that harm is seen that comes after long good conduct.

    Of the money that all begin with, the share 1/(j (j + 1)) is kept back until j − 1 times ANEW outcomes were seen.
    All shares sum to 1, so that this is a mean of capitals too, and its size does not grow.
    """

    capitals: list[float] = field(default_factory=lambda: [0.0] * len(FRACTIONS))
    outcomes: int = 0
    peak: float = 0.0

    def bet(self, gain: float, worst: float) -> None:
        """As `Bets.bet`."""
        started, into = divmod(self.outcomes, ANEW)
        fresh = 0.0 if into else 1 / ((started + 1) * (started + 2))
        self.outcomes += 1
        capitals, ratio = self.capitals, gain / worst
        for at, fraction in enumerate(FRACTIONS):
            capitals[at] = min((capitals[at] + fresh) * (1 + fraction * ratio), RICHEST)
        total = sum(capitals) / len(capitals) + 1 / (started + 2)
        if total > 1:
            self.peak = max(self.peak, log(total))

    @property
    def odds(self) -> float:
        return exp(min(self.peak, 700.0))


RICHEST = 1e300
MEMORY = 20.0  # requests over which the present rate of failures is taken
TRUST = 20.0  # requests that the planned share counts for, beside the share that was seen


@dataclass(slots=True)
class Brake:
    """Whether the candidate fails far more often than the rest just now, over all requests of everybody.

    Where few users make most requests the share of requests is not that of users, so it is taken from the requests
    seen; the middle is the recent rate of failures of both, so that an outage that strikes both arms says nothing.
    """

    requests: list[int] = field(default_factory=lambda: [0, 0])
    failures: list[int] = field(default_factory=lambda: [0, 0])
    recent: float = 0.0
    harm: Restarted = field(default_factory=Restarted)

    def add(self, candidate: bool, share: float, failed: bool, rise: float) -> None:
        """Take in a request; a `rise` of the failures by less is not what this looks for."""
        share = (self.requests[1] + TRUST * share) / (self.requests[0] + self.requests[1] + TRUST)
        difference, least, _ = seen(candidate, share, float(failed), self.recent)
        self.harm.bet(difference - rise, rise - least)
        self.requests[candidate] += 1
        self.failures[candidate] += failed
        self.recent += (failed - self.recent) / MEMORY


def seen(candidate: bool, share: float, bad: float, middle: float) -> tuple[float, float, float]:
    """The difference between the arms as one outcome shows it, and the least and the most that any could show.

    All numbers are in units of `bad`; 0 < share < 1, 0 ≤ middle ≤ 1.
    """
    rest = 1 - share
    least = -max(middle / share, (1 - middle) / rest)
    most = max((1 - middle) / share, middle / rest)
    return (bad - middle) / share if candidate else (middle - bad) / rest, least, most
