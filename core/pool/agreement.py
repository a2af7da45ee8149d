"""How far people agree who decided on the same rows, pair by pair, and how far with the judges of the funnel."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

from pydantic import Field

from ..quality.review.agreement import krippendorff_alpha
from ..settings import Setting

JUDGE = "judge"  # the score that judges give: the mean of their grades, from 1 to 5
GOOD = 4.0


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


class JudgeAgreement(Setting):
    """People and the judges of the funnel over the rows that both looked at."""

    rows: int = Field(ge=1, description="rows that people decided on and that have a judge's score")
    share: float = Field(ge=0, le=1, description="of the rows on which both say the same")
    kappa: float | None = Field(None, description="Cohen's κ; None where chance alone would agree always")
    alpha: float | None = Field(None, description="Krippendorff's α, nominal; None where nothing can be told")

    @property
    def sentence(self) -> str:
        """The figures for people."""
        kappa, alpha = ("not defined" if value is None else f"{value:.2f}" for value in (self.kappa, self.alpha))
        return (
            f"People and the judge agree on {self.share:.0%} of {self.rows} rows (a mean grade of {GOOD:g} or more "
            f"counts as accept); Cohen's κ {kappa}, Krippendorff's α {alpha}."
        )


def agreement_with_judge(rows: Iterable[tuple[str, Mapping[str, float]]]) -> JudgeAgreement | None:
    """How far people agree with the judges; `rows` has what people decided, and the scores of the sample.

    A judge's word is its mean grade: GOOD or more accepts. What the funnel kept has passed its bar already, so that
    the bar would accept every row. None where no row has both.
    """
    pairs = [
        (said, "accept" if scores[JUDGE] >= GOOD else "reject")
        for said, scores in rows
        if said in ("accept", "reject") and JUDGE in scores
    ]
    if not pairs:
        return None
    both = _agreement("people", "judge", pairs)
    return JudgeAgreement(rows=both.rows, share=both.share, kappa=both.kappa, alpha=krippendorff_alpha(pairs))
