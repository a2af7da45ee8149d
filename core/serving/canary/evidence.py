"""All tests of one stage of a trial: what is taken in, and what it shows.

Each stage begins anew, on the users that it moved over: who was in before is known to be in, so that only the others
are drawn by chance. Of those with a place from the share before on, the candidate's are those below the present share.
A user counts once in a stage, with the first request and with the first feedback; requests that belong to nobody are
drawn each by itself. So what users are like, and how much they ask, is no evidence against a version.
"""

import base64
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from .betting import Brake, Comparison
from .outcomes import Latencies
from .settings import CanarySettings, Kind, Latency

SEEN_BITS = 17  # 131,072 places: 16 kB


def _from_text(told: str | bytearray) -> bytearray:
    return bytearray(base64.b64decode(told)) if isinstance(told, str) else told


Bits = Annotated[
    bytearray,
    PlainValidator(_from_text),
    PlainSerializer(lambda bits: base64.b64encode(bits).decode(), return_type=str),
]


def _no_bits() -> bytearray:
    return bytearray(1 << (SEEN_BITS - 3))


@dataclass(slots=True)
class Seen:
    """Whom a stage has counted, in a fixed 16 kB: one bit for each 17 bits of a hash.

    Now and then somebody new is taken for known, by a hash that knows nothing of the arms: that costs an outcome and
    favours nobody (Bloom 1970, with one hash).
    """

    bits: Bits = field(default_factory=_no_bits)

    def first(self, number: int) -> bool:
        """Whether `number`, 64 uniform bits, is new; it is known from then on."""
        place = number & ((1 << SEEN_BITS) - 1)
        byte, bit = place >> 3, 1 << (place & 7)
        known = self.bits[byte] & bit
        self.bits[byte] |= bit
        return not known


State = Literal["harm", "safe", "open", "unknown"]


class Finding(NamedTuple):
    """What one kind of outcome shows. `harm` and `safe` are odds against "no harm" and against "beyond the margin".

    `stable` and `candidate` are the means of the outcome in both arms, from 0 to 1, None without any.
    """

    kind: Kind
    state: State
    outcomes: tuple[int, int]
    stable: float | None
    candidate: float | None
    harm: float
    safe: float | None
    sentence: str

    @property
    def figures(self) -> dict[str, float | None]:
        """As the journal holds them; `p_value` is that of "no harm", valid at any time."""
        known = self.stable is not None and self.candidate is not None
        delta = self.candidate - self.stable if known else None  # type: ignore[operator]
        told: dict[str, float | None] = {"champion": self.stable, "candidate": self.candidate, "delta": delta}
        told |= {"p_value": min(1.0, 1 / self.harm), "harm": self.harm, "safe": self.safe}
        return told | {"n_champion": float(self.outcomes[0]), "n_candidate": float(self.outcomes[1])}


@dataclass(slots=True)
class Evidence:
    """The tests of a stage. Its size does not grow with the requests."""

    errors: Comparison = field(default_factory=Comparison)
    latency: Comparison = field(default_factory=Comparison)
    feedback: Comparison = field(default_factory=Comparison)
    judge: Comparison = field(default_factory=Comparison)
    brake: Brake = field(default_factory=Brake)
    usual: Latencies = field(default_factory=Latencies)
    """Latencies of the stable version, against which all are held."""
    tried: Latencies = field(default_factory=Latencies)
    """Those of the candidate, to be told."""
    asked: Seen = field(default_factory=Seen)
    answered: Seen = field(default_factory=Seen)

    @property
    def requests(self) -> tuple[int, int]:
        """How many requests the stable version and the candidate had, of anybody."""
        return (self.brake.requests[0], self.brake.requests[1])

    def take_latency(self, candidate: bool, share: float | None, seconds: float, limits: Latency) -> None:
        """Take in how long an answer took; tested where it counts, with the chance `share`, once there are ranks.

        The candidate's is made shorter by what is tolerated, and by the margin, before it gets its rank among those of
        the stable version.
        """
        if share is not None:
            tolerance, margin = (limits.tolerance, limits.margin) if candidate else (0.0, 0.0)
            bad, allowed = self.usual.slowness(seconds, tolerance), self.usual.slowness(seconds, margin)
            if bad is not None and allowed is not None:
                self.latency.add(candidate, share, bad, 0.0, 0.0, allowed)
        (self.tried if candidate else self.usual).add(seconds)

    def findings(self, limits: CanarySettings) -> tuple[Finding, ...]:
        """What each kind shows by now."""
        return tuple(self._finding(kind, limits) for kind in limits.kinds)

    def harmful(self, limits: CanarySettings) -> bool:
        """Whether harm of any kind is shown; quicker than `findings`."""
        tests = (self.errors.harm, self.latency.harm, self.feedback.harm, self.judge.harm, self.brake.harm)
        return max(test.peak for test in tests) >= limits.log_harm_bar

    def _finding(self, kind: Kind, limits: CanarySettings) -> Finding:
        if kind == "collapse":
            return self._collapse(limits)
        test: Comparison = getattr(self, kind)
        counts, stable, candidate = (test.outcomes[0], test.outcomes[1]), test.mean(False), test.mean(True)
        harm, safe = test.harm.odds, test.safe.odds
        state: State = "open"
        if test.harm.peak >= limits.log_harm_bar:
            state = "harm"
        elif counts[0] < limits.known:
            state = "unknown"
        elif safe >= limits.safe_bar:
            state = "safe"
        said = f"{NAMES[kind]}: {self._shown(kind, candidate, True)} of {counts[1]:,} with the candidate"
        said += f", {self._shown(kind, stable, False)} of {counts[0]:,} with the stable version; "
        said += _verdict(state, harm, safe, kind, limits)
        if sum(counts) == 0:
            said = f"{NAMES[kind]}: unknown, there was none"
        return Finding(kind, state, counts, stable, candidate, harm, safe, said)

    def _collapse(self, limits: CanarySettings) -> Finding:
        requests, failures, harm = self.brake.requests, self.brake.failures, self.brake.harm.odds
        rates = [failed / count if count else None for failed, count in zip(failures, requests, strict=True)]
        state: State = "harm" if self.brake.harm.peak >= limits.log_harm_bar else "open"
        said = f"all requests: {_percent(rates[1])} of {requests[1]:,} failed with the candidate, "
        said += f"{_percent(rates[0])} of {requests[0]:,} with the stable version; "
        said += f"evidence of a collapse {_odds(harm)} to 1, {_odds(limits.harm_bar)} to 1 rolls back"
        return Finding(kind="collapse", state=state, outcomes=(requests[0], requests[1]), stable=rates[0],
                       candidate=rates[1], harm=harm, safe=None, sentence=said)  # fmt: skip

    def _shown(self, kind: Kind, mean: float | None, candidate: bool) -> str:
        if kind == "latency":
            latencies = self.tried if candidate else self.usual
            told = [latencies.quantile(share) for share in (0.5, 0.9)]
            return " and ".join("–" if one is None else f"{one:.3g} s" for one in told) + " (median, 90%)"
        if kind == "judge":
            return "–" if mean is None else f"mean score {1 - mean:.2f}"
        return _percent(mean)


NAMES: dict[Kind, str] = {
    "errors": "failed",
    "latency": "latency",
    "feedback": "displeasure",
    "judge": "judge",
    "collapse": "all requests",
}


def _verdict(state: State, harm: float, safe: float, kind: Kind, limits: CanarySettings) -> str:
    if state == "unknown":
        return f"unknown, it counts from {limits.known} outcomes of the stable version on"
    evidence = f"evidence of harm {_odds(harm)} to 1, {_odds(limits.harm_bar)} to 1 rolls back"
    margin = _margin(kind, limits)
    if state == "harm":
        return f"harm is shown ({_odds(harm)} to 1)"
    if state == "safe":
        return f"{evidence}; {margin} is excluded"
    return f"{evidence}; {margin} is not excluded yet ({_odds(safe)} to 1, {_odds(limits.safe_bar)} to 1 does)"


def _margin(kind: Kind, limits: CanarySettings) -> str:
    if kind == "latency":
        return f"a slow-down of {limits.latency.margin:.0%}"
    if kind == "judge":
        return f"a drop of {limits.judge.margin:g}"
    margin = limits.errors.margin if kind == "errors" else limits.feedback.margin
    return f"a rise of {100 * margin:g} points"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _odds(odds: float) -> str:
    return f"{odds:.2g}" if odds < 10 else f"{odds:,.0f}" if odds < 1e6 else "over a million"
