"""Training one LoRA adapter: the Trainer of transformers with our collator and our loss."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader

from ..digests import SHORT, digest_of
from ..errors import ConfigError, DataError, ModelError
from ..models.progress import quiet_transformers
from ..models.store import ModelFiles
from ..samples import Sample
from ..workspace import writing
from .adapter import loraplus, told, with_adapter
from .checkpoints import explaining_write_errors, last_checkpoint
from .distilling import SoftTargets
from .focus.focusing import Focused, focus
from .focus.measuring import Heard
from .fused import fuse
from .hardware import choose, machine
from .keeping.former import NOTHING_BEFORE, Former
from .keeping.keeper import Keeper, identity_of, keeper_of, kept_apart
from .layout import Layout, fitted, one_by_one
from .lessons import Course
from .losses import head_is_last, keeping_losses, learning_losses
from .packing import Encoded, Row
from .processes import launched, part_of, train_in_processes
from .settings import Training
from .trained import Trained

OnStep = Callable[[int, int, float], None]  # step, steps in all, loss
Rows = dict[str, list[Row]]  # to `learn` from, to `keep` to the base on, and of `replay` to the champion too

log = logging.getLogger(__name__)


def train_adapter(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    seed: int,
    target: Path,
    checkpoints: Path,
    on_step: OnStep = lambda step, steps, loss: None,
    former: Former = NOTHING_BEFORE,
    on_measured: Heard = lambda done, of: None,
    soft: SoftTargets | None = None,
) -> Trained:
    """Train an adapter of `base` on `samples` and write it to `target`, whole or not at all.

    A training that was killed goes on from its last whole checkpoint. These lie in a folder of `checkpoints` that is
    named by base, settings, seed, tokens and champion, so another training never goes on from them; it is deleted at
    the end. `former` is what `settings.focus` and `settings.order` measure with, and what `settings.keep` holds to.
    With `soft` the samples are learnt from what a teacher thought of them; see distilling.py.

    Raises DataError when nothing is left to train on; ModelError when the base cannot be trained, the champion of
    `former` does not fit it, the loss is no longer a number, or the memory is too small; ConfigError for what this
    machine cannot do; WorkspaceError when the disk is full.
    """
    hardware = choose(machine(), settings)
    with quiet_transformers():  # before the processes, so that one measures and each reads what was found
        champion = former.champion.folder if former.champion else None
        focused = focus(samples, base, settings, seed=seed, champion=champion, folder=checkpoints, heard=on_measured)
    if settings.processes > 1 and soft:
        raise ConfigError("a student that learns a teacher's logits trains in one process; set `train.processes: 1`")
    if settings.processes > 1 and not launched():
        return train_in_processes(
            samples, base, settings, device=hardware.device, seed=seed, target=target, checkpoints=checkpoints,
            former=former, on_step=on_step,
        )  # fmt: skip
    with quiet_transformers():
        course = _course(focused, base, settings, seed, kept_apart(settings, former))
        encoded = course.lessons
        read = [
            base.digest,
            settings.model_dump(mode="json"),
            seed,
            focused.difficulty,
            [asdict(one) for one in encoded],
            *([soft.digest] if soft else []),
        ]
        identity = digest_of([*read, *identity_of(settings, former)])
        work = checkpoints / f"training-{identity[:SHORT]}"
        arguments = _arguments(settings, len(course), work, seed, hardware.device)  # takes this process to its device
        transformers.set_seed(seed)  # before the adapter's random A matrices
        network = with_adapter(base, settings, hardware)
        fuse(network)
        with explaining_write_errors(checkpoints), _explaining_memory(base):
            keeper = keeper_of(network, base, settings, former, course, seed=seed, work=work)
        layout, hardware = fitted(network, hardware, max(len(one) for one in encoded), base.name)
        log.info("training %s: %s", base.name, "; ".join(hardware.notes))
        collate = partial(_rows, layout=layout, rank=arguments.process_index, processes=arguments.world_size)
        trainer = PackingTrainer(
            settings,
            model=network,
            args=arguments,
            train_dataset=course,
            data_collator=soft.collating(collate) if soft else collate,
            callbacks=[_Curve(on_step)],
        )
        trainer.keeper = keeper
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        last, first = last_checkpoint(work)
        started = time.perf_counter()
        with explaining_write_errors(checkpoints), _explaining_memory(base):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        seconds = time.perf_counter() - started
        if arguments.process_index == 0:
            _write(network, base, target)
    if arguments.process_index == 0:
        shutil.rmtree(work, ignore_errors=True)
        focused.forget()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    tail = losses[-max(1, len(losses) // 10) :]
    return Trained(
        samples=len(encoded),
        too_long=course.too_long,
        tokens=course.tokens,
        seconds=seconds,
        tokens_per_second=course.tokens * (1 - first / len(losses)) / seconds,
        final_loss=sum(tail) / len(tail),
        losses=losses,
        resumed_at=first,
        packed=layout is not one_by_one,
        hardware=hardware.notes,
        notes=(*told(settings), *keeper.notes),
        focus=focused.record,
    )


class PackingTrainer(transformers.Trainer):  # type: ignore[misc]
    """transformers' Trainer on packed rows and losses.py; the output layer runs on completion tokens only."""

    optimizer: Any

    def __init__(self, settings: Training, model: Any, **options: Any) -> None:
        self._settings = settings
        super().__init__(model=model, **options)
        self._head = model.get_output_embeddings() if head_is_last(model) else None

    def get_train_dataloader(self) -> Any:
        """The same batches for every process, each of which learns its own part of them (processes.py)."""
        if self.args.world_size == 1:
            return super().get_train_dataloader()
        return DataLoader(
            self.train_dataset, batch_size=self.args.per_device_train_batch_size, collate_fn=self.data_collator
        )

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None and self._settings.lora_plus > 1:
            self.optimizer = loraplus(self.model, self._settings)
        return super().create_optimizer(model)

    keeper = Keeper()

    def compute_loss(
        self, model: Any, inputs: Rows, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean over the batch's completion tokens of what losses.py and keeping/ say, in nats."""
        network = self.accelerator.unwrap_model(model)
        kept = [keeping_losses(model, network, row, self._head) for row in inputs["keep"]]
        kept += [self.keeper.replay_losses(model, network, row) for row in inputs["replay"]]
        loss = torch.cat([*kept, *(learning_losses(model, row, self._head) for row in inputs["learn"])]).mean()
        if model.training:
            loss = loss + self.keeper.penalty(network)
        if not torch.isfinite(loss):
            raise ModelError(DIVERGED)
        return (loss, {"loss": loss}) if return_outputs else loss


DIVERGED = "the training loss is no longer a number; lower `train.learning_rate` and run again"


def _rows(batch: Sequence[Encoded], layout: Layout, rank: int, processes: int) -> Rows:
    """This process's part of a batch."""
    part = part_of(batch, rank, processes)
    parts = {
        "learn": [one for one in part if not one.rehearsal and not one.replayed],
        "keep": [one for one in part if one.rehearsal],
        "replay": [one for one in part if one.replayed],
    }
    return {name: layout(own) if own else [] for name, own in parts.items()}


def _course(focused: Focused, base: ModelFiles, settings: Training, seed: int, kept_apart: Collection[str]) -> Course:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    samples = focused.samples
    course = Course(samples, tokenizer, settings, seed, focused.difficulty, kept_apart)
    if not len(course):
        raise DataError(
            f"no sample of {len(samples)} is left to train on ({course.too_long} too long); loosen the funnel or raise "
            "`train.max_length`"
        )
    return course


def _write(network: Any, base: ModelFiles, target: Path) -> None:
    """Save the adapter so that the same training gives the same bytes, on every machine."""
    if not all(torch.isfinite(weight).all() for weight in network.parameters() if weight.requires_grad):
        raise ModelError(DIVERGED)
    with explaining_write_errors(target.parent), writing(target) as folder:
        network.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's unfilled model card
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base.name  # a path differs from machine to machine
        if isinstance(config["target_modules"], list):  # a set in PEFT: in another order in every process
            config["target_modules"].sort()
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


@contextmanager
def _explaining_memory(base: ModelFiles) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            raise ModelError(
                f"{base.name}: the memory is too small for this training; lower `train.batch_size` or "
                "`train.max_length`, or choose a smaller model"
            ) from error
        raise


class _Curve(transformers.TrainerCallback):  # type: ignore[misc]
    """Hands each step's loss on as it is logged."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self._on_step(state.global_step, state.max_steps, float(logs["loss"]))


def _arguments(settings: Training, lessons: int, checkpoints: Path, seed: int, device: str) -> Any:
    steps = math.ceil(lessons / settings.batch_size)
    arguments = transformers.TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=1,  # the course holds all of them, in their order
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(steps * settings.warmup),
        weight_decay=settings.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        label_names=["targets"],
        use_cpu=device == "cpu",
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,  # at every forward, of which one process may have more than another
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else torch's DataParallel would cut our rows apart; several GPUs are several processes
    return arguments
