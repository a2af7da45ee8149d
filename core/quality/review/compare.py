"""Two answers to one question: which is better, asked in both orders, so that the place decides nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ...generation.parsing import Refused, read_fields
from ...samples import Message
from ...teachers import Role
from .asking import Review, Unanswered
from .marks import asked, question
from .tally import quorum, why_unscored

Winner = Literal["first", "second", "tie"]
BETTER: dict[str, Winner] = {"a": "first", "b": "second", "neither": "tie", "tie": "tie", "both": "tie"}
SWAPPED: dict[Winner, Winner] = {"first": "second", "second": "first", "tie": "tie"}


class Pair(NamedTuple):
    """Two answers to the conversation `messages`: chosen and rejected, candidate and champion …"""

    messages: tuple[Message, ...]
    first: str
    second: str


@dataclass(frozen=True)
class Preference:
    """Which answer of a pair is better; `winner` is None where nobody can say, and `reason` tells why."""

    winner: Winner | None
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """A preference for each pair, and how far the place of an answer decided.

    `steady` is the share of all judges' verdicts that stayed the same when the answers changed places; None where
    no pair was answered in both orders.
    """

    preferences: tuple[Preference, ...]
    steady: float | None


class _Said(NamedTuple):
    winner: Winner
    reason: str


def compare(
    pairs: Sequence[Pair], review: Review, *, role: Role = "judge", retries: int = 1, max_tokens: int = 200
) -> Comparison:
    """Ask each judge about each pair in both orders.

    A judge whose verdict changes with the order has a tie; over the judges the commoner winner counts, and as many
    for one as for the other are a tie. A pair that no more than half of the judges answered in both orders is
    unscored. Raises as `Review.ask`.
    """
    template = review.template("compare")
    requests = []
    for pair in pairs:
        instruction, said = asked(pair.messages)
        for first, second in ((pair.first, pair.second), (pair.second, pair.first)):
            offered = {"instruction": instruction, "question": said, "first": first, "second": second}
            requests.append(question(template, offered, max_tokens))
    told = review.ask(role, requests, _read, retries)
    verdicts = [[_both(one[2 * at], one[2 * at + 1]) for one in told] for at in range(len(pairs))]
    steady = [verdict.steady for row in verdicts for verdict in row if isinstance(verdict, _Verdict)]
    return Comparison(tuple(map(_over_judges, verdicts)), sum(steady) / len(steady) if steady else None)


class _Verdict(NamedTuple):
    winner: Winner
    reason: str
    steady: bool


def _read(text: str) -> _Said | None:
    found = read_fields(text, ("reason", "better"))
    if isinstance(found, Refused):
        return None
    winner = BETTER.get(found["better"].strip(" .*`'\"").casefold())
    return _Said(winner, found["reason"]) if winner else None


def _both(one: _Said | Unanswered, other: _Said | Unanswered) -> _Verdict | Unanswered:
    """What a judge thinks in whatever order."""
    if isinstance(one, Unanswered):
        return one
    if isinstance(other, Unanswered):
        return other
    if one.winner == SWAPPED[other.winner]:
        return _Verdict(one.winner, one.reason, True)
    return _Verdict("tie", "the verdict changed with the order of the answers", False)


def _over_judges(verdicts: Sequence[_Verdict | Unanswered]) -> Preference:
    if not quorum(verdicts):
        return Preference(None, why_unscored(verdicts))
    given = [verdict for verdict in verdicts if isinstance(verdict, _Verdict)]
    votes = Counter(verdict.winner for verdict in given)
    lead = votes["first"] - votes["second"]
    winner: Winner = "first" if lead > 0 else "second" if lead < 0 else "tie"
    reason = next((verdict.reason for verdict in given if verdict.winner == winner), "the judges are divided")
    return Preference(winner, reason)
