"""One step of a training as it is seen from outside, while it runs; reading it needs no torch."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """What is known after step `step` of `steps`; what was not measured is None."""

    step: int
    steps: int
    loss: float
    """Nats per completion token, of this step's samples before the update."""
    learning_rate: float
    """As the update used it."""
    gradient_norm: float | None = None
    """Before it was clipped."""
    gradient_variance: float | None = None
    """Of the clipped gradient over the last steps, summed over all weights (rate.py)."""
    tokens_per_second: float = 0.0
    """Of the samples, as an unpacked trainer would count them."""
    memory: int = 0
    """Bytes: of the GPU at its highest where there is one, else of the process."""
    validation_loss: float | None = None
    """Of the samples held back, after the update; only in steps in which it was measured."""

    def figures(self) -> dict[str, float]:
        """Every finite figure by its name, but for `step` and `steps`."""
        told = {name: value for name, value in asdict(self).items() if name not in ("step", "steps")}
        return {name: float(value) for name, value in told.items() if value is not None and math.isfinite(value)}

    def said(self) -> str:
        """The step in a few words, for a line of progress."""
        parts = [f"step {self.step:,} of {self.steps:,}", f"loss {self.loss:.4g}"]
        if self.validation_loss is not None:
            parts.append(f"validation {self.validation_loss:.4g}")
        return ", ".join(parts)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Step":
        """A step from what `dataclasses.asdict` gave."""
        return cls(**fields)


OnStep = Callable[[Step], None]
"""Hears of each step as soon as it is done."""


def unheard(step: Step) -> None:
    """The listener that does nothing."""
