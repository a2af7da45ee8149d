"""A training in a process of its own: `python -m wheelwork.core.training.child SPEC.json`.

The specification comes in a file, what happens goes out as a JSON object a line on standard output; whatever libraries
print goes to standard error. The process ends with the one that started it, whose end of the pipe on standard input
then closes, however it ended.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Literal, TextIO

from pydantic import ConfigDict

from ..errors import WheelworkError
from ..models.store import ModelFiles
from ..samples import Sample
from ..settings import Setting
from .control.step import Step
from .keeping.former import Former
from .settings import Training
from .trained import Trained


class Spec(Setting):
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


def main(path: str) -> int:
    """Train as the file `path` says; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the one that started this one ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = _own_output()
    spec = Spec.model_validate_json(Path(path).read_text(encoding="utf-8"))
    if hasattr(os, "nice"):  # not on every system
        os.nice(spec.nice)
    logging.getLogger("wheelwork").addHandler(_Telling(out))
    logging.getLogger("wheelwork").propagate = False

    from .trainer import train_adapter  # torch and transformers load for seconds

    _say(out, Said(kind="loaded"))
    try:
        trained = train_adapter(
            spec.samples,
            spec.base,
            spec.training,
            seed=spec.seed,
            target=spec.target,
            checkpoints=spec.checkpoints,
            former=Former.at(spec.champion, spec.replayed),
            on_step=lambda step: _say(out, Said(kind="step", step=step)),
            on_measured=lambda done, of: _say(out, Said(kind="measured", measured=(done, of))),
        )
    except WheelworkError as error:
        _say(out, Said(kind="failed", name=type(error).__name__, message=str(error)))
        return error.exit_code
    _say(out, Said(kind="trained", trained=trained))
    return 0


class _Telling(logging.Handler):
    """Hands the lines of the log on to the process that started this one."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        said = Said(kind="log", name=record.name, level=record.levelno, message=record.getMessage())
        _say(self._out, said)


def _say(out: TextIO, said: Said) -> None:
    out.write(said.model_dump_json(exclude_defaults=True) + "\n")
    out.flush()


def _own_output() -> TextIO:
    """Standard output for our lines alone; what others print goes to standard error."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "w", encoding="utf-8")


def _end_with_parent() -> None:
    while os.read(0, 1024):  # until the other end is closed; sys.stdin would be locked when Python ends
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
