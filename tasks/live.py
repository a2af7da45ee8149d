"""A training as MLflow shows it while it runs."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..blocks.tracking import Tracking
from ..core.errors import DependencyError
from ..core.training.control.step import OnStep, Step, unheard

EVERY = 5.0  # seconds between two batches of figures
LOSS, VALIDATION = "train.loss", "train.validation_loss"
NAMES = {"tokens_per_second": "step_tokens_per_second"}  # `train.tokens_per_second` is that of the whole training

log = logging.getLogger(__name__)


class Live:
    """Writes the figures of each step to the round's run, in a batch every few seconds.

    A training that goes on from a checkpoint takes steps again that stand there already; they are not written twice.
    MLflow that does not answer holds nothing up: what could not be written is tried again with the next batch, and in
    the end the round writes its curves once more.
    """

    def __init__(
        self, tracking: Tracking, run_id: str, every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tracking = tracking
        self._run_id = run_id
        self._every = every
        self._clock = clock
        self._written = clock()
        self._waiting: list[tuple[str, float, int]] = []
        self._known: set[int] = set()
        self._answers = True
        try:
            self._known = tracking.steps_of(run_id, LOSS)
        except DependencyError as error:
            self._complain(error)

    def __call__(self, step: Step) -> None:
        """Hear of a step."""
        if step.step not in self._known:
            self._known.add(step.step)
            told = step.figures().items()
            self._waiting += [(f"train.{NAMES.get(name, name)}", value, step.step) for name, value in told]
        if self._clock() - self._written >= self._every:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        self._written = self._clock()
        if not self._waiting:
            return
        try:
            self._tracking.log_points(self._run_id, self._waiting)
        except DependencyError as error:
            self._complain(error)
        else:
            self._waiting, self._answers = [], True

    def _complain(self, error: DependencyError) -> None:
        if self._answers:
            log.warning("the curves of the training are not live for now: %s", error)
        self._answers = False


@contextmanager
def shown_live(loop: str, home: Path, run_id: str) -> Iterator[OnStep]:
    """Yield a listener that shows a training in the run `run_id` of the loop; one that does nothing without a run."""
    if not run_id:
        yield unheard
        return
    live = Live(Tracking(loop, home), run_id)
    try:
        yield live
    finally:
        live.flush()
