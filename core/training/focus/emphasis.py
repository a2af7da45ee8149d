"""`train.focus`: which samples a training learns from, and how much each counts; decided once, before it begins.

An entry answers with a factor for each row, (n,): what the weight of the sample is multiplied by, and 0 for one that
is left out. Rehearsal is not asked about.
"""

from math import ceil
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ...quality.batch.weights import ClassWeights, fitted
from ...settings import Setting
from .rows import Array, Rows

PROBABILITY = "probability"
"""The score of a pseudo-label, as core/people/pseudo.py writes it, which makes it the sample's weight, too."""

Measure = Literal["loss", "entropy", "error", "gradient"]
"""What is measured with a model; the arrays of `Rows` of that name."""


class TopLoss(Setting):
    """Learn from what the model does not know yet: the share of the samples with the highest loss.

    The average of the top k losses in place of that of all (Fan et al. 2017; Kawaguchi & Lu 2020), chosen once. Loss
    is mean nats over the completion tokens, under the champion, or the base where there is none. A wrong label has a
    high loss, too: this is for samples that the funnel or people looked at.
    """

    kind: Literal["top_loss"] = "top_loss"
    share: float = Field(0.5, gt=0, lt=1, description="of the samples that are chosen, at least one")
    rest: float = Field(0.0, ge=0, lt=1, description="weight of the others beside that of the chosen; 0: left out")
    by_label: bool = Field(
        True, description="of each label or category this share; else of all, and labels that the model knows may go"
    )

    @property
    def measures(self) -> set[Measure]:
        return {"loss"}

    def __call__(self, rows: Rows) -> Array:
        """1 for the chosen and `rest` for the others; scaled to mean 1 where all stay."""
        loss = or_median(rows.loss)
        if loss is None:
            return np.ones(len(rows))
        factors = np.full(len(rows), self.rest)
        for group in rows.groups(self.by_label):
            hardest = np.argsort(-loss[group], kind="stable")
            factors[group[hardest[: ceil(self.share * len(group))]]] = 1
        return factors / factors.mean() if self.rest else factors

    def unknown(self, rows: Rows) -> int:
        """Rows of which what it goes by is not known."""
        return _not_known(rows.loss)


class GradientNorm(Setting):
    """A sample counts as much as it would move the model: the norm of its own gradient (GraNd, Paul et al. 2021)."""

    kind: Literal["gradient_norm"] = "gradient_norm"
    of: Literal["update", "logits"] = Field(
        "update",
        description="the gradient at a fresh LoRA update, exact, one sample at a time; or that at the `logits` alone "
        "(EL2N), on packed rows, several times as fast",
    )
    largest: float = Field(5.0, gt=1, le=100, description="largest weight, and the smallest is its inverse")

    @property
    def measures(self) -> set[Measure]:
        return {"gradient" if self.of == "update" else "error"}

    def __call__(self, rows: Rows) -> Array:
        """‖g‖, clipped, of mean 1; that of a row that is not known is the median."""
        return _weights(_gradient(rows, self.of), self.largest)

    def unknown(self, rows: Rows) -> int:
        """Rows of which what it goes by is not known."""
        return _not_known(_gradient(rows, self.of))


class GradientOverEntropy(Setting):
    """As `gradient_norm`, and less where the model hesitates between many answers: ‖g‖ / (1 + H).

    H is the entropy of the model's distribution at the completion tokens, mean nats. A sample weighs most where the
    model is sure and would have to change.
    """

    kind: Literal["gradient_over_entropy"] = "gradient_over_entropy"
    of: Literal["update", "logits"] = Field("update", description="whose gradient; as in `gradient_norm`")
    largest: float = Field(5.0, gt=1, le=100, description="largest weight, and the smallest is its inverse")

    @property
    def measures(self) -> set[Measure]:
        return {"gradient" if self.of == "update" else "error", "entropy"}

    def __call__(self, rows: Rows) -> Array:
        """‖g‖ / (1 + H), clipped, of mean 1; that of a row that is not known is the median."""
        return _weights(self._values(rows), self.largest)

    def unknown(self, rows: Rows) -> int:
        """Rows of which what it goes by is not known."""
        return _not_known(self._values(rows))

    def _values(self, rows: Rows) -> Array:
        values: Array = _gradient(rows, self.of) / (1 + rows.entropy)
        return values


class Classes(Setting):
    """Rows of rare labels or categories count more; all that is trained on is counted: seeds, kept and replayed."""

    kind: Literal["class_weights"] = "class_weights"
    weights: ClassWeights = Field(
        ClassWeights(), description="as in `batch.class_weights`, which counts the kept alone"
    )

    @property
    def measures(self) -> set[Measure]:
        return set()

    def __call__(self, rows: Rows) -> Array:
        """A factor for each row, of mean 1; rows without label and category count as one class."""
        return self.weights(rows.categories)

    def unknown(self, rows: Rows) -> int:
        """Rows without label and category."""
        return sum(not name for name in rows.categories)


class Confidence(Setting):
    """How much labels count that nobody vouches for: pseudo-labels, each by its probability.

    `wheelwork review pseudo` gives such a sample its probability p as a score and as its weight. Here the weight
    becomes p^`sharpness`, and all of them together weigh at most `share` of the whole (the coefficient of the
    unlabelled part in Lee 2013, as a bound).
    """

    kind: Literal["confidence"] = "confidence"
    sharpness: float = Field(
        1.0, ge=0, le=100, description="power of the probability that is the weight; 1: as it is, 0: all the same"
    )
    share: float = Field(0.5, gt=0, lt=1, description="most that all pseudo-labels together weigh of the whole")

    @property
    def measures(self) -> set[Measure]:
        return set()

    def __call__(self, rows: Rows) -> Array:
        """A factor for each row; 1 for what people, teachers or files labelled, and where no probability is known."""
        factors = np.array([self._factor(p) for p in _probabilities(rows)])
        pseudo = _pseudo(rows)
        weights = factors * [sample.weight for sample in rows.samples]
        ours, others = float(weights[pseudo].sum()), float(weights[~pseudo].sum())
        if others and ours > self.share * (ours + others):
            factors[pseudo] *= self.share / (1 - self.share) * others / ours
        return factors

    def unknown(self, rows: Rows) -> int:
        """Pseudo-labels whose probability is not known."""
        return int(np.isnan(_probabilities(rows)[_pseudo(rows)]).sum())

    def _factor(self, probability: float) -> float:
        # the weight that it came with is the probability, at least 0.01
        return 1.0 if np.isnan(probability) else float(max(probability, 0.01) ** (self.sharpness - 1))


Emphasis = Annotated[TopLoss | GradientNorm | GradientOverEntropy | Classes | Confidence, Field(discriminator="kind")]


def or_median(values: Array) -> Array | None:
    """`values` (n,) with the median of the known ones where they are not known; None where none is."""
    known = np.isfinite(values)
    return np.where(known, values, np.median(values[known])) if known.any() else None


def _weights(values: Array, largest: float) -> Array:
    filled = or_median(values)
    if filled is None or not filled.max() > 0:
        return np.ones(len(values))
    return fitted(np.maximum(filled / filled.max(), 1e-9), largest)  # a norm of 0 has no logarithm


def _gradient(rows: Rows, of: Literal["update", "logits"]) -> Array:
    return rows.gradient if of == "update" else rows.error


def _not_known(values: Array) -> int:
    return int((~np.isfinite(values)).sum())


def _pseudo(rows: Rows) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.array([sample.origin == "pseudo" for sample in rows.samples], dtype=bool)


def _probabilities(rows: Rows) -> Array:
    """The probability that a pseudo-label came with; NaN for any other row."""
    return np.array(
        [sample.scores.get(PROBABILITY, np.nan) if sample.origin == "pseudo" else np.nan for sample in rows.samples]
    )
