"""One training in several processes: each takes a part of every batch, and all make the step that one would make.

`accelerate launch` starts them (torchrun's agent, gloo on a CPU, NCCL on GPUs); each runs worker.py. The first one
tells this process, on its standard output and one JSON object a line, how far it is and how it ended.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import psutil
from pydantic import ValidationError

from ..errors import ModelError, WheelworkError
from ..models.store import ModelFiles
from ..parallel import cores
from ..samples import Sample
from ..workspace import scratch_in
from .control.step import OnStep
from .job import Job, Said
from .keeping.former import Former
from .packing import Encoded
from .settings import Training
from .trained import Trained

PATIENCE = 5.0  # seconds between asking a process to end and ending it


def launched() -> bool:
    """Whether this process is one of several that train together."""
    return "LOCAL_RANK" in os.environ


def part_of(batch: Sequence[Encoded], rank: int, processes: int) -> list[Encoded]:
    """What process `rank` of `processes` learns of a batch, with weights that make the whole right.

    A process takes the mean over its T_r completion tokens, and their gradients are averaged over the N processes; the
    mean over all T tokens of the batch is that of samples whose weights are times N · T_r / T. A process for which
    nothing is left reads one sample at no weight, as all have to compute something.
    """
    mine = list(batch[rank::processes]) or [replace(batch[0], weight=0.0)]
    here, everywhere = (sum(len(one.completion) for one in some) for some in (mine, batch))
    factor = processes * here / everywhere  # 1 where there is one process
    return [replace(one, weight=one.weight * factor) for one in mine]


def train_in_processes(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    device: str,
    seed: int,
    target: Path,
    checkpoints: Path,
    former: Former,
    on_step: OnStep,
) -> Trained:
    """As `train_adapter`, in `settings.processes` processes on `device`; none is left behind, however it ends.

    Raises what a process raises, and ModelError for one that was killed.
    """
    with scratch_in(checkpoints, "processes-") as scratch:
        job = Job.of(
            samples, base, settings, seed=seed, target=target, checkpoints=checkpoints, former=former,
            parent=os.getpid(),
        )  # fmt: skip
        path, told = scratch / "job.json", scratch / "errors.txt"
        job.write(path)
        with told.open("w", encoding="utf-8") as stream, _running(settings, device, path, stream) as child:
            ended = _follow(child, on_step)
            child.wait()
        if isinstance(ended, Trained):
            return ended
        raise ended or _killed(told.read_text(encoding="utf-8", errors="replace"))


def _follow(child: "subprocess.Popen[str]", on_step: OnStep) -> Trained | Exception | None:
    """Hear the processes out; what came of it, or None where they ended without a word."""
    assert child.stdout is not None
    ended: Trained | Exception | None = None
    for line in child.stdout:
        with suppress(ValidationError):  # what a library prints
            said = Said.model_validate_json(line)
            if said.step is not None:
                on_step(said.step)
            elif said.kind == "trained":
                ended = said.trained
            elif ended is None:  # the others fail because the first one did
                ended = said.error
    return ended


@contextmanager
def _running(settings: Training, device: str, job: Path, stderr: IO[str]) -> Iterator["subprocess.Popen[str]"]:
    """The launcher with its processes, which end with the block."""
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(settings.processes),
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        "-m", f"{__package__}.worker", str(job),
    ]  # fmt: skip
    child = subprocess.Popen(
        command, env=_environment(settings, device), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        yield child
    finally:
        _end(child)


def _environment(settings: Training, device: str) -> dict[str, str]:
    """`--multi_gpu` starts processes on a CPU too, where it is told so; without it accelerate would ask for MPI."""
    told: dict[str, Any] = dict(os.environ)
    told.setdefault("OMP_NUM_THREADS", str(max(1, cores() // settings.processes)))
    if device == "cpu":
        told["CUDA_VISIBLE_DEVICES"] = ""
        told["ACCELERATE_USE_CPU"] = str(settings.shard != "deepspeed")  # or accelerate passes that over
        # all processes are on this machine, whose name may not be one that resolves
        told.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        if settings.spread:  # glibc keeps what it has freed, which in the end were all layers, put together
            told.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**20))
    return told


def _end(child: "subprocess.Popen[str]") -> None:
    """End the launcher and what it started: first a word, then no more words."""
    with suppress(psutil.NoSuchProcess):
        launcher = psutil.Process(child.pid)
        family = [launcher, *launcher.children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.terminate()
        for one in psutil.wait_procs(family, timeout=PATIENCE)[1]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _killed(told: str) -> WheelworkError:
    """What processes that ended without a word died of, as far as the launcher tells.

    When one fails the launcher ends the others by SIGTERM; when one is killed by another signal the others fail.
    """
    ended = [-code for code in map(int, re.findall(r"exitcode\s*:\s*(-?\d+)", told)) if code < 0]
    lines = [line.strip() for line in told.splitlines() if re.match(r"\S*(\[rank\d+\]: )?\w+(Error|Exception)\b", line)]
    if killed := [one for one in ended if one != signal.SIGTERM] or ([] if lines else ended):
        return ModelError(
            f"a process of the training was killed ({signal.Signals(killed[0]).name}), perhaps for want of memory; "
            "lower `train.processes` or `train.batch_size` and run again: it goes on from the last checkpoint"
        )
    return WheelworkError(f"the processes of the training ended without a result ({(lines or ['no reason told'])[0]})")
