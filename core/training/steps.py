"""The Trainer of transformers with our batches and our loss."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader

from .adapter import loraplus
from .control.fitting import Collate, MicroBatches, Rows
from .control.steering import trained_weights
from .keeping.keeper import Keeper
from .layout import Layout
from .losses import Base, token_losses
from .packing import Encoded
from .processes import part_of
from .settings import Training
from .sharding import resumable
from .zero import put_together


class PackingTrainer(transformers.Trainer):  # type: ignore[misc]
    """transformers' Trainer on packed rows, whose loss is that of losses.py and keeping/.

    A batch is a list of samples until a step is taken; `collate` then lays it out. Where the output layer of the
    model comes last, the head of `base`, that layer runs on completion tokens only, and on some of them at a time.
    """

    optimizer: Any

    def __init__(
        self, settings: Training, collate: Collate, *, keeper: Keeper, base: Base, args: Any, **options: Any
    ) -> None:
        self.micro = MicroBatches(collate, most=None if args.world_size == 1 else 1)
        self.saved_too: Callable[[Path], None] = lambda folder: None
        self._settings = settings
        self._keeper = keeper
        self._base = base
        with resumable(args) if settings.shard == "fsdp" else nullcontext():
            super().__init__(args=args, data_collator=self.micro.gather, **options)
        self.remove_callback(transformers.trainer_callback.PrinterCallback)

    def get_train_dataloader(self) -> Any:
        """The same batches for every process, each of which learns its own part of them (processes.py)."""
        if self.args.world_size == 1:
            return super().get_train_dataloader()
        return DataLoader(
            self.train_dataset, batch_size=self.args.per_device_train_batch_size, collate_fn=self.data_collator
        )

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None and self._settings.lora_plus > 1:
            with put_together(self.model):  # PEFT takes an empty weight for one of B
                self.optimizer = loraplus(self.model, self._settings)
        return super().create_optimizer(model)

    def training_step(self, model: Any, inputs: dict[str, list[Encoded]], *rest: Any) -> torch.Tensor:
        """One step, in parts where the memory asks for it; see `MicroBatches`."""
        step = super().training_step
        return self.micro.learn(inputs["batch"], lambda rows: step(model, rows, *rest), model.zero_grad)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The adapter, and in a checkpoint what else a training that goes on from it has to know."""
        if self._settings.shard == "deepspeed":  # for which transformers would put all of the base together first
            self._save(output_dir)
        else:
            super().save_model(output_dir, _internal_call)
        if output_dir is not None and self.args.should_save:
            self.saved_too(Path(output_dir))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """What was trained; PEFT would put together all of a base that is spread over the processes first."""
        super()._save(output_dir, trained_weights(self.model))

    def compute_loss(
        self, model: Any, inputs: Rows, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean over the batch's completion tokens of what losses.py and keeping/ say, in nats."""
        network = self.accelerator.unwrap_model(model)
        losses = [self._keeper.replay_losses(model, network, row) for row in inputs["replay"]]
        losses += [token_losses(model, row, self._base.head, self._base) for row in inputs["learn"]]
        loss = torch.cat(losses).mean()
        if model.training:
            loss = loss + self._keeper.penalty(network)
        loss = loss * self.micro.share  # of a step that is taken in parts
        return (loss, {"loss": loss}) if return_outputs else loss


def collating(layout: Layout, args: Any) -> Collate:
    """What lays out a batch in the rows `learn`, with rehearsal at the end, and `replay`, kept to the champion too."""
    return partial(_rows, layout=layout, rank=args.process_index, processes=args.world_size)


def _rows(batch: Sequence[Encoded], layout: Layout, rank: int, processes: int) -> Rows:
    """This process's part of a batch."""
    part = part_of(batch, rank, processes)
    replayed = [one for one in part if one.replayed]
    others = sorted((one for one in part if not one.replayed), key=lambda one: one.rehearsal)
    return {name: layout(own) if own else [] for name, own in (("learn", others), ("replay", replayed))}
