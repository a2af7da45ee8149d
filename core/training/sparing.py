"""What transformers and peft load where it is installed, and most trainings never use: a quarter of a child's start."""

import sys

from .fitting import quantised
from .job import Job


def unneeded(job: Job) -> tuple[str, ...]:
    """Packages that this training does without: its rows are no `datasets`, its weights seldom of `bitsandbytes`."""
    in_four_bits = job.training.quantize == "nf4" or quantised(job.base.folder) is not None
    return ("datasets",) if in_four_bits else ("datasets", "bitsandbytes")


def spare(job: Job) -> None:
    """Let them pass for not installed, in a process that does this job alone; before transformers is imported."""
    for name in unneeded(job):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python says that an import is not to be had
