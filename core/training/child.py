"""A training in a process of its own: `python -m wheelwork.core.training.child JOB.json`.

The job comes in a file, what happens goes out as a JSON object a line on standard output; whatever libraries
print goes to standard error. The process ends with the one that started it, whose end of the pipe on standard input
then closes, however it ended.
"""

import logging
import os
import signal
import sys
import threading
from importlib import import_module
from typing import TextIO

from ..errors import WheelworkError
from .job import Job, Said
from .sparing import spare


def main(path: str) -> int:
    """Train as the file `path` says; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the one that started this one ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = _own_output()
    job = Job.read(path)
    if hasattr(os, "nice"):  # not on every system
        os.nice(job.nice)
    logging.getLogger("wheelwork").addHandler(_Telling(out))
    logging.getLogger("wheelwork").propagate = False

    spare(job)
    import_module(f"{__package__}.trainer")  # torch and transformers load for seconds
    _say(out, Said(kind="loaded"))
    try:
        trained = job.train(
            on_step=lambda step: _say(out, Said(kind="step", step=step)),
            on_measured=lambda done, of: _say(out, Said(kind="measured", measured=(done, of))),
        )
    except WheelworkError as error:
        _say(out, Said.failure(error))
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
    out.write(said.line)
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
