"""What the gate judges: the scores of one suite, item by item, and whether they are evidence at all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from ..errors import ConfigError, DataError

Scores = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SuiteScores:
    """One suite's scores, all columns in the order of `ids`; None is unscored.

    `groups` names the source of each item, `champion` is None when there is none yet, and `margin`, in units of
    the score, is the damage a guard must exclude (targets ignore it).
    """

    name: str
    role: Literal["target", "guard"]
    digest: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    base: Scores
    champion: Scores | None
    candidate: Scores
    margin: float = 0.0

    @property
    def columns(self) -> dict[str, Scores]:
        """The scores by who got them, the champion's only where there is one."""
        named = {"base": self.base, "champion": self.champion, "candidate": self.candidate}
        return {name: scores for name, scores in named.items() if scores is not None}


def check_scores(suites: Sequence[SuiteScores]) -> None:
    """Raises ConfigError for suites that cannot be judged together, DataError for scores that are no evidence.

    The first is no target, two suites of one name, or a guard's margin that excludes nothing; the second an empty
    suite, the same id twice, a column of another length, or a score that is not finite.
    """
    if not any(suite.role == "target" for suite in suites):
        raise ConfigError("no suite has the role `target`, so nothing can get better; give one suite that role")
    names = [suite.name for suite in suites]
    if len(set(names)) < len(names):
        raise ConfigError(f"two suites are named `{_twice(names)}`; rename one of them")
    for suite in suites:
        _check_items(suite)
        if suite.role == "guard":
            _check_margin(suite)


def _check_items(suite: SuiteScores) -> None:
    n = len(suite.ids)
    if n == 0:
        raise DataError(f"suite `{suite.name}` has no items; add some, or remove the suite")
    if len(set(suite.ids)) < n:
        raise DataError(f"suite `{suite.name}` has the id `{_twice(suite.ids)}` more than once; ids must be unique")
    if len(suite.groups) != n:
        raise DataError(f"suite `{suite.name}` has {n} items but {len(suite.groups)} groups; give each item one")
    for column, scores in suite.columns.items():
        if len(scores) != n:
            raise DataError(f"suite `{suite.name}` has {n} items but {len(scores)} scores of {column}; benchmark again")
        for item, score in zip(suite.ids, scores, strict=True):
            if score is not None and not isfinite(score):
                raise DataError(
                    f"suite `{suite.name}`: item `{item}` has the {column} score {score}, which is no number"
                )


def _check_margin(suite: SuiteScores) -> None:
    graded = any(score not in (None, 0, 1) for scores in suite.columns.values() for score in scores)
    if not isfinite(suite.margin) or suite.margin <= 0 or (suite.margin >= 1 and not graded):
        limit = "above 0" if graded else "between 0 and 1"
        raise ConfigError(f"guard suite `{suite.name}` has the margin {suite.margin}; set one {limit}")


def _twice(names: Sequence[str]) -> str:
    return Counter(names).most_common(1)[0][0]
