"""Whether a loss still makes sense: a training that diverges ends at once, with the weights from before."""

import math
import statistics
from collections import deque

from pydantic import Field

from ...settings import Setting

FEWEST = 5  # losses that a median is taken of


class Stability(Setting):
    """Ends a training whose loss explodes; one that is no longer a number ends it whatever is set here.

    A loss explodes that is above `times` the running median and above where the training began: late in a training
    the median is so low that a hard sample is ten times as much, which is no harm.
    """

    times: float = Field(10.0, gt=1, le=1e6, description="a loss explodes above so many times the running median")
    steps: int = Field(3, ge=1, le=1000, description="steps in a row in which it has to")
    window: int = Field(20, ge=FEWEST, le=1000, description="steps that the running median is taken of")


class Watch:
    """What the losses of a training were so far; fed with the same losses it says the same."""

    def __init__(self, settings: Stability) -> None:
        self._settings = settings
        self._recent: deque[float] = deque(maxlen=settings.window)
        self._begun: float | None = None
        self._streak = 0
        self.first_bad: int | None = None
        """The first of the bad steps that the training is in; its loss is that of the weights after the step before."""

    def __call__(self, step: int, loss: float) -> str:
        """Hear of a loss; why the training has to end with this step, or an empty text."""
        if math.isfinite(loss) and not self._explodes(loss):
            self._recent.append(loss)
            if self._begun is None and len(self._recent) == FEWEST:
                self._begun = statistics.median(self._recent)
            self._streak, self.first_bad = 0, None
            return ""
        self._streak += 1
        self.first_bad = self.first_bad or step
        if not math.isfinite(loss):
            return f"the loss was no longer a number in step {step}"
        if self._streak < self._settings.steps:
            return ""
        return f"the loss rose to more than {self._settings.times:g} times what it had been, from step {self.first_bad}"

    def _explodes(self, loss: float) -> bool:
        if self._begun is None:
            return False
        return loss > self._settings.times * statistics.median(self._recent) and loss > self._begun
