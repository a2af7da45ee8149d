"""A training for another process: what it is given in a file, and the lines in which it tells what becomes of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict

from .. import errors
from ..errors import WheelworkError
from ..models.store import ModelFiles
from ..samples import Sample
from ..settings import Setting
from .control.step import OnStep, Step
from .keeping.former import Former
from .settings import Training
from .trained import Trained


class Job(Setting):
    """What a training is given; see `train_adapter`."""

    samples: tuple[Sample, ...]
    base: ModelFiles
    training: Training
    seed: int
    target: Path
    checkpoints: Path
    champion: Path | None = None
    replayed: tuple[Sample, ...] = ()
    nice: int = 0
    parent: int = 0  # who started several processes: without that one there is nobody to train for

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        base: ModelFiles,
        training: Training,
        *,
        seed: int,
        target: Path,
        checkpoints: Path,
        former: Former,
        **rest: int,
    ) -> Self:
        """With paths that mean the same in any process."""
        return cls(
            samples=tuple(samples),
            base=base,
            training=training,
            seed=seed,
            target=target.absolute(),
            checkpoints=checkpoints.absolute(),
            champion=former.champion.folder.absolute() if former.champion else None,
            replayed=tuple(former.replayed),
            **rest,
        )

    @classmethod
    def read(cls, path: str) -> Self:
        """The job in the file `path`."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(), encoding="utf-8")

    def train(self, on_step: OnStep, on_measured: Callable[[int, int], Any] = lambda done, of: None) -> Trained:
        """Do it in this process. Raises what `train_adapter` raises."""
        from .trainer import train_adapter  # torch and transformers load for seconds

        return train_adapter(
            self.samples,
            self.base,
            self.training,
            seed=self.seed,
            target=self.target,
            checkpoints=self.checkpoints,
            former=Former.at(self.champion, self.replayed),
            on_step=on_step,
            on_measured=on_measured,
        )


class Said(Setting):
    """One line: that torch is loaded, how much is measured, a step, a line of the log, the end, or an error.

    An error is told in the user's words.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")  # the loss that a training ends with may be no number

    kind: Literal["loaded", "measured", "step", "log", "trained", "failed"]
    measured: tuple[int, int] = (0, 0)  # samples, of how many
    step: Step | None = None
    trained: Trained | None = None
    name: str = ""  # of the logger or of the error's class
    level: int = 0
    message: str = ""

    @classmethod
    def failure(cls, error: WheelworkError) -> Self:
        return cls(kind="failed", name=type(error).__name__, message=str(error))

    @property
    def error(self) -> WheelworkError:
        """The error that was told, of its own class."""
        found = getattr(errors, self.name, WheelworkError)
        known = isinstance(found, type) and issubclass(found, WheelworkError)
        return (found if known else WheelworkError)(self.message)

    @property
    def line(self) -> str:
        """To be written at once, so that the lines of two processes do not mix."""
        return self.model_dump_json(exclude_defaults=True) + "\n"
