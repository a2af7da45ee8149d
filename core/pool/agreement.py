"""How far people agree who decided on the same rows: share and Cohen's kappa, pair by pair."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple


class PairAgreement(NamedTuple):
    """Two reviewers over the rows that both decided on."""

    one: str
    other: str
    rows: int
    share: float  # of rows on which they say the same, in [0, 1]
    kappa: float | None  # None where chance alone would agree always: both said one thing throughout


def pairwise_agreement(votes: Iterable[Mapping[str, str]]) -> list[PairAgreement]:
    """Agreement of every pair of reviewers that share a row; `votes` has reviewer → decision for each row.

    κ = (p − e) / (1 − e), p the share of equal decisions and e what two independent people of the same habits would
    share (Cohen 1960, "A coefficient of agreement for nominal scales").
    """
    rows = list(votes)
    reviewers = list(dict.fromkeys(name for row in rows for name in row))
    found = []
    for one, other in combinations(reviewers, 2):
        pairs = [(row[one], row[other]) for row in rows if one in row and other in row]
        if pairs:
            found.append(_agreement(one, other, pairs))
    return found


def _agreement(one: str, other: str, pairs: list[tuple[str, str]]) -> PairAgreement:
    n = len(pairs)
    share = sum(left == right for left, right in pairs) / n
    lefts, rights = Counter(left for left, _ in pairs), Counter(right for _, right in pairs)
    same_by_chance = sum(lefts[said] * rights[said] for said in lefts)  # of n², in whole numbers: 1 is exactly 1
    kappa = None if same_by_chance == n * n else (share - same_by_chance / n**2) / (1 - same_by_chance / n**2)
    return PairAgreement(one, other, n, share, kappa)
