"""A training from its first step, or its last checkpoint, to the weights that it ends with."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from ..checkpoints import last_checkpoint
from ..zero import put_together, size_of
from .available import refuse_full_disk
from .ending import Ending, settle
from .fitting import Rows, chunks, guessed_parts
from .settings import Control
from .steering import Steering
from .step import OnStep

if TYPE_CHECKING:
    from ..packing import Encoded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ran:
    """What a training did."""

    ending: Ending
    entries: tuple[dict[str, Any], ...]
    """The log, an entry a step, up to the last step that counts."""
    steps: int
    """Steps that were planned."""
    resumed_at: int
    seconds: float
    parts: int

    def figures(self, tokens: int) -> dict[str, Any]:
        """Under the names of `Trained`; `tokens` are those of all the steps that were planned."""
        losses = tuple(float(entry["loss"]) for entry in self.entries)
        tail = losses[-max(1, len(losses) // 10) :]
        read = round(tokens * len(losses) / self.steps)
        return {
            "tokens": read,
            "seconds": self.seconds,
            "tokens_per_second": read * max(0.0, 1 - self.resumed_at / len(losses)) / self.seconds,
            "final_loss": sum(tail) / len(tail),
            "losses": losses,
            "resumed_at": self.resumed_at,
            "validation": tuple(
                (int(entry["step"]), loss)
                for entry in self.entries
                if math.isfinite(loss := float(entry.get("validation_loss", math.nan)))
            ),
            "step": self.ending.step,
            "stopped": self.ending.stopped,
            "parts": self.parts,
        }

    @property
    def notes(self) -> list[str]:
        """What the report should say besides."""
        if self.parts == 1:
            return []
        return [f"for want of memory the samples of a step were read in up to {self.parts} parts"]


def run(trainer: Any, held_back: "Sequence[Encoded]", control: Control, work: Path, on_step: OnStep) -> Ran:
    """Train as `control` says, on from the last whole checkpoint in `work` if there is one.

    `trainer` is a trainer of transformers that takes its steps through its `micro`, as PackingTrainer does. The network
    is left with the weights to keep. Raises ModelError when there are none, WorkspaceError when the disk is too small.
    """
    last, first = last_checkpoint(work)
    network, micro = trainer.model, trainer.micro
    if last is None:
        learnt = [weight for weight in network.parameters() if weight.requires_grad]
        refuse_full_disk(work, sum(size_of(weight) * weight.element_size() for weight in learnt), best=bool(held_back))
    if trainer.args.world_size == 1:
        size = trainer.args.per_device_train_batch_size

        def loss(rows: Rows) -> torch.Tensor:
            found: torch.Tensor = trainer.compute_loss(network, trainer._prepare_inputs(rows))
            return found

        guessed = guessed_parts(network, micro, trainer.train_dataset.lessons, size, control.memory, loss)
        micro.parts = max(control.memory.parts, guessed)
    steering = Steering(control, on_step, micro, (lambda: loss_on(trainer, held_back)) if held_back else None)
    trainer.add_callback(steering)
    trainer.saved_too = steering.save_best
    if last is not None:
        steering.load_best(last, load_file)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    seconds = time.perf_counter() - started
    with put_together(network, changed=True):
        ending = settle(network, steering, work, trainer.state.global_step)
    trainer.accelerator.wait_for_everyone()  # the first process deletes the checkpoints that the others may still read
    if ending.stopped:
        log.warning("the training ended early: %s", ending.stopped)
    entries = tuple(entry for entry in trainer.state.log_history if "loss" in entry and entry["step"] <= ending.last)
    return Ran(ending, entries, trainer.state.max_steps, first, seconds, micro.parts)


def loss_on(trainer: Any, held_back: "Sequence[Encoded]") -> float:
    """Mean loss over the completion tokens of `held_back`, in nats, without dropout."""
    size = trainer.args.per_device_train_batch_size
    network, micro = trainer.model, trainer.micro
    whole, total, training = 0, 0.0, network.training
    network.eval()
    try:
        with torch.no_grad():
            for first in range(0, len(held_back), size):
                for part in chunks(held_back[first : first + size], micro.parts):
                    tokens = sum(len(one.completion) for one in part)
                    rows = trainer._prepare_inputs(micro.collate(part))
                    total += tokens * float(trainer.compute_loss(trainer.model_wrapped, rows))
                    whole += tokens
    finally:
        network.train(training)
    if trainer.args.world_size == 1:
        return total / whole
    # each process had a part of every batch, weighted so that the mean over the processes is that of the whole
    own = torch.tensor(total / whole, dtype=torch.float64, device=trainer.args.device)
    return float(trainer.accelerator.reduce(own, reduction="mean"))
