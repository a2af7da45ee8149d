"""Training in a child process that is watched: ended when it hangs, begun again once, never left behind.

Nothing here loads torch: the child does, once.
"""

import logging
import queue
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from ..errors import DependencyError, ModelError, WheelworkError
from ..models.store import ModelFiles
from ..samples import Sample
from ..workspace import scratch_in
from .control.process import ChildProcess
from .control.step import OnStep, unheard
from .job import Job, Said
from .keeping.former import NOTHING_BEFORE, Former
from .settings import Training
from .trained import Trained

if TYPE_CHECKING:
    from .focus.measuring import Heard

CHILD = (sys.executable, "-m", f"{__package__}.child")
TAIL = 4000  # bytes of what a child wrote on standard error that are looked at
TIMED = 9  # steps whose median is what a step takes

log = logging.getLogger(__name__)


class _Ended(Exception):
    """The child hung or was killed; the message says so, `error` is what the user is told when it is so again."""

    def __init__(self, message: str, error: WheelworkError, parts: int = 1) -> None:
        super().__init__(message)
        self.error = error
        self.parts = parts


def learn(samples: Sequence[Sample], base: ModelFiles, settings: Training, **rest: Any) -> Trained:
    """`train_adapter` where `train.control.process` says: in a child process, or in this one."""
    if settings.control.process is not None:
        return train_in_child(samples, base, settings, **rest)
    from .trainer import train_adapter  # torch and transformers load for seconds

    return train_adapter(samples, base, settings, **rest)


def train_in_child(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    seed: int,
    target: Path,
    checkpoints: Path,
    on_step: OnStep = unheard,
    former: Former = NOTHING_BEFORE,
    on_measured: "Heard" = lambda done, of: None,
    command: Sequence[str] = CHILD,
) -> Trained:
    """`train_adapter` in a child process, which is ended with this one, by Ctrl-C, or when it hangs.

    A child that hangs is begun again from its last checkpoint, once; so is one that was killed, as the system does for
    want of memory, with its steps in twice the parts.

    Raises what `train_adapter` raises; DependencyError when it hangs twice, ModelError when it is killed twice,
    WheelworkError when it ends otherwise than it should.
    """
    treated = settings.control.process or ChildProcess()
    job = Job.of(
        samples, base, settings, seed=seed, target=target, checkpoints=checkpoints, former=former, nice=treated.nice
    )
    with scratch_in(checkpoints, "child-") as scratch:
        try:
            return _Child(job, treated, on_step, on_measured, command, scratch).run()
        except _Ended as first:
            log.warning("%s; it is begun again from its last checkpoint", first)
            again = job.model_copy(update={"training": _in_parts(settings, first.parts)})
        try:
            return _Child(again, treated, on_step, on_measured, command, scratch).run()
        except _Ended as second:
            raise second.error from None


class _Child:
    """One child process, from its start to its end."""

    def __init__(
        self,
        job: Job,
        treated: ChildProcess,
        on_step: OnStep,
        on_measured: "Heard",
        command: Sequence[str],
        scratch: Path,
    ) -> None:
        self._base = job.base.name
        self._parts = job.training.control.memory.parts
        self._treated = treated
        self._on_step = on_step
        self._on_measured = on_measured
        self._path, self._errors = scratch / "job.json", scratch / "errors.txt"
        job.write(self._path)
        self._command = [*command, str(self._path)]
        self._steps: deque[float] = deque(maxlen=TIMED)

    def run(self) -> Trained:
        """What the child reports in the end."""
        with (
            self._errors.open("wb") as errors_file,
            subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors_file
            ) as process,
        ):
            try:
                return self._heard(process)
            finally:
                process.kill()  # it has nothing to put in order; after a good end there is nobody to kill

    def _heard(self, process: "subprocess.Popen[bytes]") -> Trained:
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        patience, last = self._treated.hang_after, time.monotonic()
        while True:
            try:
                line = lines.get(timeout=max(0.0, last + patience - time.monotonic()))
            except queue.Empty:
                raise self._hung(patience) from None
            if not line:
                raise self._over(process.wait())
            said = _parsed(line)
            if said is None:
                continue
            if said.kind == "trained" and said.trained is not None:
                process.wait()
                return said.trained
            self._take(said)
            if said.kind == "step":
                self._steps.append(time.monotonic() - last)
                patience = self._treated.patience(statistics.median(self._steps))
            if said.kind != "log":
                last = time.monotonic()

    def _take(self, said: Said) -> None:
        if said.kind == "failed":
            raise said.error
        if said.kind == "log":
            logging.getLogger(said.name).log(said.level, "%s", said.message)
        elif said.kind == "measured":
            self._on_measured(*said.measured)
        elif said.step is not None:
            self._on_step(said.step)

    def _hung(self, patience: float) -> _Ended:
        sentence = f"the training process made no step for {patience:.0f} s and was ended"
        advice = "see what else the machine does, or raise `train.control.process.hang_after`, then run it again"
        return _Ended(sentence, DependencyError(f"{self._base}: {sentence}, twice; {advice}"), self._parts)

    def _over(self, code: int) -> Exception:
        if code == -signal.SIGKILL:
            advice = "lower `train.batch_size` or `train.max_length`, or choose a smaller model"
            sentence = "the training process was killed, perhaps for want of memory"
            return _Ended(sentence, ModelError(f"{self._base}: {sentence}, twice; {advice}"), 2 * self._parts)
        with self._errors.open("rb") as written:
            written.seek(max(0, self._errors.stat().st_size - TAIL))
            last = written.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        said = f": {last[0][:300]}" if last else ""
        return WheelworkError(f"{self._base}: the training process ended with exit code {code}{said}")


def _in_parts(settings: Training, parts: int) -> Training:
    memory = settings.control.memory.model_copy(update={"parts": parts})
    return settings.model_copy(update={"control": settings.control.model_copy(update={"memory": memory})})


def _read(output: IO[bytes], lines: "queue.Queue[bytes]") -> None:
    """Lines as they come, an empty one when there are no more."""
    for line in output:
        lines.put(line)
    lines.put(b"")


def _parsed(line: bytes) -> Said | None:
    try:
        return Said.model_validate_json(line)
    except ValidationError:  # what is not ours says nothing
        return None
