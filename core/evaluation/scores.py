"""What the gate judges: the scores of one suite, item by item, and whether they are evidence at all."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from ..errors import ConfigError, DataError

Scores = tuple[float | None, ...]

LARGEST = 1e100
"""Scores beyond this could not be squared and summed."""


@dataclass(frozen=True, slots=True)
class SuiteScores:
    """One suite's scores, all columns in the order of `ids`; None is unscored.

    `groups` names the source of each item; `slices` the part of the suite that it is reported under, None for none,
    and is empty where there are none at all. Of `base` and `champion` at least one is there. `margin`, in units of
    the score, is the damage that a guard must exclude (targets ignore it), `floor` the mean that a target's candidate
    must reach. `digest` names the suite with its scorer; `digests` says for each column which it was answered on, where
    that is known: scores that were taken with another one are refused.
    """

    name: str
    role: Literal["target", "guard"]
    digest: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    base: Scores | None
    champion: Scores | None
    candidate: Scores
    margin: float = 0.0
    slices: tuple[str | None, ...] = ()
    floor: float | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Scores]:
        """The scores by who got them, of base and champion only where they are there."""
        named = {"base": self.base, "champion": self.champion, "candidate": self.candidate}
        return {name: scores for name, scores in named.items() if scores is not None}


def check_scores(suites: Sequence[SuiteScores]) -> None:
    """Raises ConfigError for suites that cannot be judged together, DataError for scores that are no evidence.

    The first is no target, two suites of one name, a guard's margin that excludes nothing, or a floor that nothing
    goes by; the second an empty suite, nothing to compare with, the same id twice, a column of another length, one
    that was taken with another suite or scorer, or a score that is not finite.
    """
    if not any(suite.role == "target" for suite in suites):
        raise ConfigError("no suite has the role `target`, so nothing can get better; give one suite that role")
    names = [suite.name for suite in suites]
    if len(set(names)) < len(names):
        raise ConfigError(f"two suites are named `{_twice(names)}`; rename one of them")
    for suite in suites:
        _check_items(suite)
        _check_origin(suite)
        if suite.role == "guard":
            check_margin(suite, suite.margin)
        _check_floor(suite)


def check_margin(suite: SuiteScores, margin: float) -> None:
    """Raises ConfigError for a `margin` that excludes no damage in the scores of `suite`."""
    graded = any(score not in (None, 0, 1) for scores in suite.columns.values() for score in scores)
    if not isfinite(margin) or margin <= 0 or (margin >= 1 and not graded):
        limit = "above 0" if graded else "between 0 and 1"
        raise ConfigError(f"{suite.role} suite `{suite.name}` has the margin {margin}; set one {limit}")


def _check_items(suite: SuiteScores) -> None:
    n = len(suite.ids)
    if n == 0:
        raise DataError(f"suite `{suite.name}` has no items; add some, or remove the suite")
    if len(set(suite.ids)) < n:
        raise DataError(f"suite `{suite.name}` has the id `{_twice(suite.ids)}` more than once; ids must be unique")
    if suite.base is None and suite.champion is None:
        raise DataError(f"suite `{suite.name}` has scores of neither base nor champion; benchmark one of them")
    named = {"groups": suite.groups, "slices": suite.slices or suite.ids}
    for what, given in named.items():
        if len(given) != n:
            raise DataError(f"suite `{suite.name}` has {n} items but {len(given)} {what}; give each item one")
    for column, scores in suite.columns.items():
        if len(scores) != n:
            raise DataError(f"suite `{suite.name}` has {n} items but {len(scores)} scores of {column}; benchmark again")
        for item, score in zip(suite.ids, scores, strict=True):
            if score is not None and not (isfinite(score) and abs(score) <= LARGEST):
                what = "is no number" if not isfinite(score) else f"is beyond {LARGEST:g}"
                raise DataError(f"suite `{suite.name}`: item `{item}` has the {column} score {score}, which {what}")


def _check_origin(suite: SuiteScores) -> None:
    for column, found in suite.digests.items():
        if found != suite.digest:
            raise DataError(
                f"suite `{suite.name}`: the scores of {column} were taken with `{found}`, which is not "
                f"`{suite.digest}`: the suite or its scorer was changed; benchmark every model on the same one"
            )


def _check_floor(suite: SuiteScores) -> None:
    if suite.floor is None:
        return
    if suite.role == "guard":
        raise ConfigError(f"guard suite `{suite.name}` has a floor, which is for targets; its margin holds it")
    if not isfinite(suite.floor):
        raise ConfigError(f"suite `{suite.name}` has the floor {suite.floor}, which is no number")


def _twice(names: Sequence[str]) -> str:
    return Counter(names).most_common(1)[0][0]
