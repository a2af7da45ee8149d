"""One suite as causes look at it, and the parts that its items are grouped by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ..models.encoder import Vectors
from ..quality.personal import mask
from ..text import words
from .cases import RULES, Case
from .ground import Ground, Nearness, mean_direction
from .groups import Axis, Group, Values

SHORT = 60  # characters of a text that names a cluster
FEWEST = 24  # items from which thirds and clusters tell anything


@dataclass(frozen=True)
class Look:
    """A suite's cases beside what was trained on. `in_task` where the items are asked in the loop's own prompt.

    `level` is what the test of a cause has to reach in one group.
    """

    cases: Sequence[Case]
    ground: Ground
    near: Nearness | None
    in_task: bool
    level: float

    @property
    def right(self) -> list[int]:
        """Items that did not fail."""
        return [at for at, case in enumerate(self.cases) if not case.failed]

    def failing(self, group: Group) -> list[Case]:
        return [self.cases[at] for at in sorted(group.failing)]

    def confusions(self, group: Group) -> Counter[tuple[str, str]]:
        """How often which label of a failing item was answered with which."""
        pairs = ((case.label, case.answered) for case in self.failing(group))
        return Counter((label, answered) for label, answered in pairs if label and answered)

    def categories(self, group: Group) -> Counter[str]:
        """The labels of the failing items; where there are none, the categories of the samples nearest to them."""
        labels = Counter(case.label for case in self.failing(group) if case.label)
        if labels or self.near is None:
            return labels
        learnt = (self.ground.learnt[self.near.which[row]] for row in self.near.rows(sorted(group.failing)))
        return Counter(one.category for one in learnt if one.category)


def axes_of(cases: Sequence[Case], near: Nearness | None, ground: Ground) -> dict[Axis, Values]:
    """The value of each item on each axis; an axis that tells nothing apart is left out."""
    both = [f"{case.label}, difficulty {case.difficulty}" if case.label and case.difficulty else None for case in cases]
    axes: dict[Axis, Values] = {
        "confusion": [
            f"{case.label} → {case.answered}" if case.failed and case.label and case.answered else None
            for case in cases
        ],
        "rule": [RULES[case.rule] if case.rule else None for case in cases],
        "label and difficulty": both,
        "cluster": clusters_of(len(cases), near, ground),
        "label": [case.label for case in cases],
        "slice": [case.slice for case in cases],
        "difficulty": [None if case.difficulty is None else f"difficulty {case.difficulty}" for case in cases],
        "length": lengths_of(cases),
    }
    return {axis: values for axis, values in axes.items() if any(value is not None for value in values)}


def lengths_of(cases: Sequence[Case]) -> Values:
    """Thirds of the items by the words of their text, with the bounds in the name."""
    counts = [len(words(case.text)) for case in cases]
    if len(counts) < FEWEST:
        return [None] * len(counts)
    low, high = (int(np.quantile(counts, share, method="lower")) for share in (1 / 3, 2 / 3))
    if low == high:
        return [None] * len(counts)
    names = (f"short: up to {low} words", f"middling: {low + 1} to {high} words", f"long: more than {high} words")
    return [names[0] if count <= low else names[1] if count <= high else names[2] for count in counts]


def clusters_of(items: int, near: Nearness | None, ground: Ground) -> Values:
    """Clusters of the m embedded items by k-means++ (Arthur & Vassilvitskii 2007), about √(m/2) of them.

    Each is named by the training sample nearest to its mean, so that a name is never a text of the suite.
    """
    values: list[str | None] = [None] * items
    if near is None or len(near.items) < FEWEST or ground.vectors is None:
        return values
    if not (shown := ground.shown(range(len(ground.learnt)))):
        return values
    vectors, names = ground.vectors[shown], dict[int, str]()
    of_row = _k_means(near.items.astype(np.float32), max(2, round(sqrt(len(near.items) / 2))))
    for cluster in sorted(set(of_row)):
        rows = [row for row, one in enumerate(of_row) if one == cluster]
        cosines = vectors @ mean_direction(near.items[rows]).astype(np.float32)
        text = mask(ground.learnt[shown[int(cosines.argmax())]].text)
        short = text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"
        names[cluster] = f"like “{short}” ({cluster + 1})"
    for item, row in near.place.items():
        values[item] = names[of_row[row]]
    return values


def _k_means(rows: Vectors, clusters: int) -> list[int]:
    from scipy.cluster.vq import kmeans2

    count = min(clusters, len(np.unique(rows, axis=0)))
    points = rows.astype(np.float64)
    _, found = kmeans2(points, count, minit="++", rng=np.random.default_rng(0), missing="warn")
    first = {cluster: at for at, cluster in reversed(list(enumerate(found.tolist())))}
    numbered = {cluster: number for number, cluster in enumerate(sorted(first, key=lambda one: first[one]))}
    return [numbered[cluster] for cluster in found.tolist()]
