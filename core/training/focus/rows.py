"""The samples of a training as focus and order look at them, with what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...quality.batch.sides import category_of
from ...samples import Sample

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """Samples with a number each, arrays (n,): NaN where it is not known, or was not asked for."""

    samples: Sequence[Sample]
    tokens: Array  # of the longest lesson
    loss: Array  # mean nats over the completion tokens
    entropy: Array  # of the model's distribution, mean nats over the same
    error: Array  # root mean square over the same of ‖p − y‖, the gradient at the logits
    gradient: Array  # norm of the gradient at a fresh update

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def categories(self) -> list[str]:
        """Label or category of each; empty where it has neither."""
        return [category_of(sample) for sample in self.samples]

    def at(self, places: Places) -> "Rows":
        """These of them."""
        numbers = (self.tokens, self.loss, self.entropy, self.error, self.gradient)
        return Rows([self.samples[place] for place in places], *(one[places] for one in numbers))

    def weighing(self, factors: Array) -> "Rows":
        """The same with each sample's weight multiplied."""
        return replace(self, samples=[weighed(*pair) for pair in zip(self.samples, factors.tolist(), strict=True)])

    def groups(self, by_label: bool) -> list[Places]:
        """Places of the samples that are compared: those of one label or category, or all."""
        if not by_label:
            return [np.arange(len(self))]
        names = np.asarray(self.categories, dtype=object)
        return [np.flatnonzero(names == name) for name in dict.fromkeys(names)]


def weighed(sample: Sample, factor: float) -> Sample:
    """`sample` with its weight multiplied by `factor` > 0."""
    return sample if factor == 1 else sample.model_copy(update={"weight": sample.weight * factor})


def rank_correlation(one: Array, other: Array) -> float | None:
    """Spearman's ρ over the rows of which both are known; None for fewer than three, or where one never differs."""
    known = np.isfinite(one) & np.isfinite(other)
    a, b = one[known], other[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)
