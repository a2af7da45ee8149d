"""`train.order`: in which order a training reads its samples, epoch by epoch.

Each epoch holds what is due in it exactly once, whatever the order. Difficulty is a place among the others, in (0, 1):
the share of the samples that are easier, with half of those that are as hard. A sample of which it is not known stands
in the middle, 0.5.
"""

from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from ...settings import Setting
from .emphasis import Measure
from .rows import Array, Rows

MIDDLE = 0.5
GRADE = "difficulty"
"""The control of a sample that holds the grade it was written to."""


class Due(NamedTuple):
    """A lesson that is read in an epoch: its place in the course, how hard it is, whether it is rehearsal."""

    place: int
    difficulty: float
    rehearsal: bool


class Shuffled(Setting):
    """Every epoch in an order of its own, by chance."""

    kind: Literal["none"] = "none"

    def __call__(self, due: Sequence[Due], epoch: int, draw: Random) -> list[int]:
        """The places of `due` in the order in which epoch number `epoch`, from 0, reads them."""
        return _shuffled(due, draw)


class ByDifficulty(Setting):
    """What the samples are ordered by."""

    difficulty: Literal["loss", "length", "rarity", "grade"] = Field(
        "loss",
        description="`loss` under the champion, or the base where there is none; `length` in tokens; `rarity` of the "
        "label or category; `grade` that the sample was written to (`generate.controls.difficulty`)",
    )
    by_label: bool = Field(
        False,
        description="place a sample among those of its label or category alone, so that easy ones of each come first",
    )

    @model_validator(mode="after")
    def _rarity_is_of_labels(self) -> "ByDifficulty":
        if self.difficulty == "rarity" and self.by_label:
            raise ValueError("all samples of a label are equally rare; leave out `by_label`, or order by `loss`")
        return self

    @property
    def measures(self) -> set[Measure]:
        return {"loss"} if self.difficulty == "loss" else set()

    def values(self, rows: Rows) -> Array:
        """The difficulty of each row, (n,), as it is measured: nats, tokens, −log share or grade; NaN if unknown."""
        if self.difficulty == "loss":
            return rows.loss
        if self.difficulty == "length":
            return rows.tokens
        return _rarities(rows) if self.difficulty == "rarity" else _grades(rows)

    def places(self, rows: Rows) -> Array:
        """The difficulty of each row as its place among the others, (n,), in (0, 1)."""
        values = self.values(rows)
        found = np.full(len(rows), MIDDLE)
        for group in rows.groups(self.by_label):
            found[group] = _places(values[group])
        return found


class EasyFirst(ByDifficulty):
    """From easy to hard, then shuffled (curriculum learning, Bengio et al. 2009). Equally hard ones come by chance."""

    kind: Literal["easy_first"] = "easy_first"
    epochs: int = Field(1, ge=1, le=100, description="epochs that are read from easy to hard; later ones are shuffled")

    def __call__(self, due: Sequence[Due], epoch: int, draw: Random) -> list[int]:
        """As `Shuffled`; rehearsal is spread evenly over an epoch that goes from easy to hard."""
        if epoch >= self.epochs:
            return _shuffled(due, draw)
        learn, rehearse = _parts(due, draw)
        return _spread([one.place for one in sorted(learn, key=lambda one: one.difficulty)], rehearse)


class Competence(ByDifficulty):
    """By chance from what is easy enough so far, and that is more and more (Platanios et al. 2019).

    After t of the T lessons that opening takes, samples are open whose difficulty is at most the competence
    c(t) = min(1, √(t (1 − c₀²) / T + c₀²)). The paper draws with replacement; here each epoch reads every sample
    once, so the next is drawn from the open ones that it has not read, and where it has read them all, the easiest of
    the others is next.
    """

    kind: Literal["competence"] = "competence"
    start: float = Field(0.01, gt=0, le=1, description="c₀, the share of the samples that is open at the beginning")
    opens_in: float = Field(1.0, gt=0, le=100, description="epochs after which all samples are open")

    def __call__(self, due: Sequence[Due], epoch: int, draw: Random) -> list[int]:
        """As `Shuffled`; rehearsal is spread evenly."""
        learn, rehearse = _parts(due, draw)
        waiting = sorted(learn, key=lambda one: -one.difficulty)  # the easiest last
        ready: list[int] = []
        read: list[int] = []
        while waiting or ready:
            competence = self.competence(epoch * len(learn) + len(read), len(learn))
            while waiting and (waiting[-1].difficulty <= competence or not ready):
                ready.append(waiting.pop().place)
            chosen = draw.randrange(len(ready))
            ready[chosen], ready[-1] = ready[-1], ready[chosen]
            read.append(ready.pop())
        return _spread(read, rehearse)

    def competence(self, lessons: int, epoch: int) -> float:
        """c(t) after so many `lessons`, of which an `epoch` has so many."""
        passed = lessons / (self.opens_in * epoch)
        return min(1.0, sqrt(passed * (1 - self.start**2) + self.start**2))


Order = Annotated[Shuffled | EasyFirst | Competence, Field(discriminator="kind")]


def _parts(due: Sequence[Due], draw: Random) -> tuple[list[Due], list[int]]:
    """What is learnt and the places of rehearsal, each by chance."""
    mixed = list(due)
    draw.shuffle(mixed)
    return [one for one in mixed if not one.rehearsal], [one.place for one in mixed if one.rehearsal]


def _shuffled(due: Sequence[Due], draw: Random) -> list[int]:
    places = [one.place for one in due]
    draw.shuffle(places)
    return places


def _spread(learn: Sequence[int], rehearse: Sequence[int]) -> list[int]:
    """`learn` in its order, with `rehearse` at even distances between."""
    whole = len(learn) + len(rehearse)
    taken = {(2 * number + 1) * whole // (2 * len(rehearse)): place for number, place in enumerate(rehearse)}
    rest = iter(learn)
    return [taken[at] if at in taken else next(rest) for at in range(whole)]


def _places(values: Array) -> Array:
    """(average rank − ½) / n among the known ones, and the middle for the others."""
    from scipy.stats import rankdata

    known = np.isfinite(values)
    found = np.full(len(values), MIDDLE)
    if known.any():
        found[known] = (rankdata(values[known]) - 0.5) / known.sum()
    return found


def _rarities(rows: Rows) -> Array:
    """−log of the share that the label or category of each has; NaN without one."""
    names, row_of, counts = np.unique(np.asarray(rows.categories, dtype=str), return_inverse=True, return_counts=True)
    rarity = np.where(names == "", np.nan, -np.log(counts / len(rows)))
    found: Array = rarity[row_of]
    return found


def _grades(rows: Rows) -> Array:
    return np.array([_grade(sample.controls.get(GRADE, "")) for sample in rows.samples], dtype=np.float64)


def _grade(told: str) -> float:
    try:
        return float(told)
    except ValueError:
        return float("nan")
