"""Early stopping on samples that are held back from the training data; suites have no part in it."""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from ...samples import Sample
from ...settings import Setting

Stratum = tuple[str, str]  # task and label


@dataclass(frozen=True)
class Split:
    """What is learnt from, what is held back, and why nothing is."""

    learn: tuple[Sample, ...]
    held_back: tuple[Sample, ...] = ()
    note: str = ""


class Validation(Setting):
    """Hold a share of the samples back, measure the loss on it now and then, stop when it no longer falls.

    The adapter is that of the step with the lowest loss, whether the training stopped early or not (Prechelt 1998).
    The loss is the one that is minimised: cross-entropy of the answers, on rehearsal the distance to the base.
    """

    share: float = Field(0.1, gt=0, le=0.5, description="share of the samples that is held back, of each label")
    every: int = Field(20, ge=1, description="steps between two measurements; the last step has one too")
    patience: int = Field(3, ge=1, le=1000, description="measurements without a lower loss after which it stops")
    least: float = Field(0.0, ge=0, description="nats per token that the loss has to fall by to count as lower")
    fewest: int = Field(10, ge=2, description="samples held back; below, nothing is held back, and a note says so")

    def split(self, samples: Sequence[Sample], seed: int) -> Split:
        """Draw what is held back: by label and task, families together, and of each label one family stays.

        A family is a sample and all that was made from it, by `parent_id`.
        """
        strata: dict[Stratum, list[list[Sample]]] = defaultdict(list)
        for family in _families(samples):
            strata[family[0].task, family[0].label or ""].append(family)
        drawn: set[int] = set()
        owed = 0.0  # what rounding has left to the strata that come after
        for stratum, families in sorted(strata.items()):
            random.Random(f"{seed}-{stratum}").shuffle(families)
            owed += self.share * sum(map(len, families))
            for family in families[:-1]:
                if len(family) <= 2 * owed:  # nearer with it than without
                    drawn.update(map(id, family))
                    owed -= len(family)
        held_back = tuple(one for one in samples if id(one) in drawn)
        if len(held_back) < self.fewest:
            note = f"nothing was held back for validation: of {len(samples)} samples it would be {len(held_back)}, "
            return Split(tuple(samples), note=note + f"fewer than `train.control.validation.fewest`, {self.fewest}")
        return Split(tuple(one for one in samples if id(one) not in drawn), held_back)


class Patience:
    """The losses on what was held back so far; fed with the same losses it says the same."""

    def __init__(self, settings: Validation) -> None:
        self._settings = settings
        self._without = 0
        self.best = math.inf
        self.best_step = 0

    def __call__(self, step: int, loss: float) -> bool:
        """Hear of a measurement; whether it is the lowest."""
        if math.isfinite(loss) and loss < self.best - (self._settings.least if self.best_step else 0.0):
            self.best, self.best_step, self._without = loss, step, 0
            return True
        self._without += 1
        return False

    @property
    def exhausted(self) -> bool:
        return self._without >= self._settings.patience


def _families(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples by where they come from, in the order in which each family is met first."""
    parents = {one.id: one.parent_id for one in samples if one.parent_id}
    found: dict[str, list[Sample]] = {}
    for one in samples:
        root, seen = one.id, {one.id}
        while (parent := parents.get(root)) is not None and parent not in seen:
            root = parent
            seen.add(root)
        found.setdefault(root, []).append(one)
    return list(found.values())
