"""One of several processes that train together: `accelerate launch -m wheelwork.core.training.worker JOB.json`."""

import os
import sys
import threading
import time
from contextlib import suppress

import psutil

from ..errors import WheelworkError
from .job import Job, Said
from .sparing import spare

LOOK = 1.0  # seconds between two looks at whether anybody waits for us


def main(path: str) -> int:
    """Train as the job in the file `path` says; returns the exit code."""
    job = Job.read(path)
    threading.Thread(target=_end_with, args=([job.parent, os.getppid()],), daemon=True).start()
    spare(job)
    first = os.environ.get("RANK", "0") == "0"
    try:
        trained = job.train(lambda step: _say(Said(kind="step", step=step)))  # the first process alone hears of steps
    except WheelworkError as error:
        _say(Said.failure(error))
        return error.exit_code
    if first:
        _say(Said(kind="trained", trained=trained))
    _leave()
    return 0


def _say(said: Said) -> None:
    sys.stdout.write(said.line)
    sys.stdout.flush()


def _leave() -> None:
    """Take leave of the other processes, which wait for it."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _end_with(pids: list[int]) -> None:
    """Leave when the launcher or who started it is gone: one that was killed could not tell us."""
    with suppress(psutil.NoSuchProcess):
        above = [psutil.Process(pid) for pid in pids]
        while all(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in above):
            time.sleep(LOOK)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
