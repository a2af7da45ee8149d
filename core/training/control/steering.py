"""The callback that watches a training step by step: tells of it, measures it, scales its rate, ends it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers
from safetensors.torch import save_file

from ..zero import put_together
from .fitting import MicroBatches
from .rate import GradientVariance, RateFactor
from .settings import Control
from .stability import Watch
from .step import OnStep, Step
from .validation import Patience

BEST = "best.safetensors"  # in a checkpoint: the weights of the lowest validation loss so far
ADAM = 0.9  # decay of Adam's mean of the gradient, where nobody says otherwise

Entry = Mapping[str, Any]


class Steering(transformers.TrainerCallback):  # type: ignore[misc]
    """Everything that `train.control` says of a step.

    What it knows it has from the trainer's log alone, which every checkpoint holds; a training that goes on reads the
    log again and so knows, to the last bit, what it would have known. Only the best weights are a file of their own.
    """

    def __init__(
        self, control: Control, on_step: OnStep, micro: MicroBatches, measure: Callable[[], float] | None = None
    ) -> None:
        """`measure` gives the loss on what is held back, None where nothing is."""
        self._settings = control
        self._on_step = on_step
        self._micro = micro
        self._measure = measure if control.validation is not None else None
        self._watch = Watch(control.stability)
        self._variance = GradientVariance(ADAM)
        self._factor = RateFactor(control.rate) if control.rate is not None else None
        self._patience = Patience(control.validation) if control.validation is not None else None
        self._measured: dict[str, float] = {}
        self._base_rates: list[float] = []
        self._network: Any = None
        self._begun = self._saved = time.monotonic()
        self._read = 0
        self.best: dict[str, torch.Tensor] | None = None
        self.stopped = ""
        """Why the training ended before its last step."""
        self.diverged = False

    @property
    def best_step(self) -> int:
        """The step whose weights are the best so far, 0 where nothing was measured."""
        return self._patience.best_step if self._patience is not None else 0

    @property
    def first_bad(self) -> int | None:
        """The first of the bad steps that the training ended in."""
        return self._watch.first_bad

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._network = model
        self._variance = GradientVariance(args.adam_beta1)
        for entry in state.log_history:
            if "loss" in entry:
                self._hear(entry)
        self._forgive_the_last(state)
        self._saved = time.monotonic()

    def load_best(self, folder: Path, tensors: Callable[[Path], dict[str, torch.Tensor]]) -> None:
        """Take the best weights from a checkpoint, if it has any."""
        if self._measure is not None and (folder / BEST).is_file():
            self.best = tensors(folder / BEST)

    def save_best(self, folder: Path) -> None:
        """Write the best weights into a checkpoint, if there are any."""
        if self.best is not None:
            save_file(self.best, folder / BEST)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begun, self._read = time.monotonic(), self._micro.tokens

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        self._base_rates = [group["lr"] for group in optimizer.param_groups]
        if self._factor is not None:
            for group in optimizer.param_groups:
                group["lr"] *= self._factor.factor
        self._measured = {"learning_rate_used": float(optimizer.param_groups[0]["lr"])}

    def on_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate  # the scheduler goes on from it
        # by group, not by the order of Adam's own dictionary, which a checkpoint may give back otherwise
        learnt = [weight for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
        means = [kept["exp_avg"] for weight in learnt if "exp_avg" in (kept := optimizer.state.get(weight, {}))]
        if learnt and len(means) == len(learnt):
            gradients = [weight.grad for weight in learnt]
            self._measured |= {"squared_gradient": _squared(gradients), "squared_mean": _squared(means)}

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._saved = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """The end of a step: its entry in the log grows by what was measured, and is heard as a resumed one is."""
        if not logs or "loss" not in logs:
            return
        seconds = time.monotonic() - self._begun
        entry = state.log_history[-1]
        entry |= self._measured
        entry["parts"] = self._micro.parts
        if self._measure is not None and self._is_due(state):
            entry["validation_loss"] = self._measure()
        variance, lowest = self._hear(entry)
        self._forgive_the_last(state)
        if lowest:
            self.best = trained_weights(self._network)
        if self._is_late(args.world_size):
            control.should_save = True
        if self._watch.first_bad is not None or self.stopped:
            control.should_save = False  # what is kept is to be good, and to be ended in the same way when gone on from
        if self.stopped:
            control.should_training_stop = True
        if state.is_world_process_zero:
            self._on_step(self._step(state, entry, variance, seconds))

    def _forgive_the_last(self, state: Any) -> None:
        """A training whose patience ends with its last step has not ended early."""
        if state.global_step >= state.max_steps and not self.diverged:
            self.stopped = ""

    def _is_late(self, processes: int) -> bool:
        """Whether the last checkpoint is too old, as the first process says: all have to write one in the same step."""
        told = [time.monotonic() - self._saved >= self._settings.checkpoint_seconds]
        if processes > 1:
            torch.distributed.broadcast_object_list(told)
        return told[0]

    def _is_due(self, state: Any) -> bool:
        every = self._settings.validation.every if self._settings.validation is not None else 1
        return bool(state.global_step % every == 0 or state.global_step == state.max_steps)

    def _hear(self, entry: Entry) -> tuple[float | None, bool]:
        """Take in one step, as it happens or from the log: its gradient's variance, and whether it is the best."""
        variance, lowest = None, False
        if "squared_gradient" in entry:
            variance = self._variance(entry["squared_gradient"], entry["squared_mean"])
        if self._factor is not None:
            self._factor(variance)
        self._micro.parts = max(self._micro.parts, entry.get("parts", 1))
        if reason := self._watch(entry["step"], entry["loss"]):
            self.stopped, self.diverged = reason, True
        elif self._patience is not None and "validation_loss" in entry:
            lowest = self._patience(entry["step"], entry["validation_loss"])
            if self._patience.exhausted:
                patience = self._settings.validation.patience if self._settings.validation else 0
                self.stopped = f"the validation loss had not fallen in {patience} measurements"
        return variance, lowest

    def _step(self, state: Any, entry: Entry, variance: float | None, seconds: float) -> Step:
        return Step(
            step=state.global_step,
            steps=state.max_steps,
            loss=float(entry["loss"]),
            learning_rate=entry.get("learning_rate_used", entry["learning_rate"]),
            gradient_norm=entry.get("grad_norm"),
            gradient_variance=variance,
            tokens_per_second=(self._micro.tokens - self._read) / seconds if seconds > 0 else 0.0,
            memory=_memory(),
            validation_loss=entry.get("validation_loss"),
        )


def trained_weights(network: Any) -> dict[str, torch.Tensor]:
    """A copy of the weights that a training changes, by name."""
    with put_together(network):
        learnt = ((name, weight) for name, weight in network.named_parameters() if weight.requires_grad)
        return {name: weight.detach().cpu().clone() for name, weight in learnt}


def put_back(network: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Set the weights of `network` that `trained_weights` named."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name in weights:
                weight.copy_(weights[name])


def _squared(tensors: list[torch.Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(tensors)) ** 2


def _memory() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)
