"""Training one LoRA adapter: the Trainer of transformers with our collator and our loss."""

import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model

from ..digests import SHORT, digest_of
from ..engines.base import Adapter
from ..errors import DataError, ModelError
from ..models.progress import quiet_transformers
from ..models.store import ModelFiles
from ..samples import Sample
from ..workspace import writing
from .attention import NAME as BY_PIECE
from .checkpoints import explaining_write_errors
from .control.fitting import MicroBatches, out_of_memory
from .control.running import run
from .control.starting import start_from
from .control.step import OnStep, unheard
from .control.validation import Split
from .fused import fuse
from .lessons import Course
from .losses import head_is_last, keeping_losses, learning_losses
from .packing import Encoded, Row, alone, pack, packing_holds
from .settings import Training
from .trained import Trained

Rows = dict[str, list[Row]]  # to `learn` from, and to `keep` to the base on
Layout = Callable[[Sequence[Encoded]], list[Row]]

log = logging.getLogger(__name__)


def train_adapter(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    seed: int,
    target: Path,
    checkpoints: Path,
    start: Path | None = None,
    on_step: OnStep = unheard,
) -> Trained:
    """Train an adapter of `base` on `samples` and write it to `target`, whole or not at all.

    It goes on from the adapter in the folder `start`, if there is one, else from nothing.

    A training that was killed goes on from its last whole checkpoint. These lie in a folder of `checkpoints` that is
    named by base, settings, seed and tokens, so another training never goes on from them; it is deleted at the end.

    Raises DataError when nothing is left to train on; ModelError when the base cannot be trained, the loss is no
    longer a number, or the memory is too small; WorkspaceError when the disk is full.
    """
    with quiet_transformers():
        validation = settings.control.validation
        split = validation.split(samples, seed) if validation is not None else Split(tuple(samples))
        course, held_back = (
            _course(split.learn, base, settings, seed),
            _held_back(split.held_back, base, settings, seed),
        )
        work = checkpoints / f"training-{_identity(base, settings, seed, [*course.lessons, *held_back], start)}"
        transformers.set_seed(seed)  # before the adapter's random A matrices
        network = _with_adapter(base, settings)
        if start is not None:
            start_from(network, start, base.name)
        fuse(network)
        layout = _layout(network, base, course.lessons)
        trainer = PackingTrainer(
            network,
            partial(_rows, layout=layout),
            args=_arguments(settings, len(course), work, seed),
            train_dataset=course,
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        with explaining_write_errors(checkpoints), _explaining_memory(base):
            ran = run(trainer, held_back, settings.control, work, on_step)
        _write(network, base, target)
    shutil.rmtree(work, ignore_errors=True)
    told = ran.figures(course.tokens)
    return Trained(
        samples=len(course.lessons),
        too_long=course.too_long,
        packed=layout is not _one_by_one,
        **told | {"notes": (*filter(None, [split.note, *course.notes]), *told["notes"])},
    )


class PackingTrainer(transformers.Trainer):  # type: ignore[misc]
    """transformers' Trainer on packed rows and losses.py; the output layer runs on completion tokens only."""

    def __init__(self, model: Any, collate: Callable[[Sequence[Encoded]], Rows], **options: Any) -> None:
        self.micro = MicroBatches(collate, most=None if options["args"].world_size == 1 else 1)
        self.saved_too: Callable[[Path], None] = lambda folder: None
        super().__init__(model=model, data_collator=self.micro.gather, **options)
        self._head = model.get_output_embeddings() if head_is_last(model) else None

    def training_step(self, model: Any, inputs: dict[str, list[Encoded]], *rest: Any) -> torch.Tensor:
        """One step, in parts where the memory asks for it; see `MicroBatches`."""
        step = super().training_step
        return self.micro.learn(inputs["batch"], lambda rows: step(model, rows, *rest), model.zero_grad)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The adapter, and in a checkpoint what else a training that goes on from it has to know."""
        super().save_model(output_dir, _internal_call)
        if output_dir is not None and self.args.should_save:
            self.saved_too(Path(output_dir))

    def compute_loss(
        self, model: Any, inputs: Rows, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mean over the batch's completion tokens of what losses.py says, in nats."""
        network = self.accelerator.unwrap_model(model)
        kept = [keeping_losses(model, network, row, self._head) for row in inputs["keep"]]
        loss = torch.cat([*kept, *(learning_losses(model, row, self._head) for row in inputs["learn"])]).mean()
        loss = loss * self.micro.share  # of a step that is taken in parts
        return (loss, {"loss": loss}) if return_outputs else loss


def _rows(batch: Sequence[Encoded], layout: Layout) -> Rows:
    learn, keep = [[one for one in batch if one.rehearsal == rehearsal] for rehearsal in (False, True)]
    return {"learn": layout(learn) if learn else [], "keep": layout(keep) if keep else []}


def _together(batch: Sequence[Encoded]) -> list[Row]:
    return [pack(batch)]


def _by_piece(batch: Sequence[Encoded]) -> list[Row]:
    return [pack(batch, by_piece=True)]


def _one_by_one(batch: Sequence[Encoded]) -> list[Row]:
    return [alone(one) for one in batch]


def _layout(network: Any, base: ModelFiles, encoded: Sequence[Encoded]) -> Layout:
    """How a batch becomes rows: the quickest way that gives `network` what it makes of each sample alone."""
    longest = max(len(one) for one in encoded)
    model = network.get_base_model()
    if network.device.type == "cpu":  # on a GPU the kernels for a mask are quick, and those for many pieces are not
        usual = model.config._attn_implementation
        model.set_attn_implementation(BY_PIECE)
        if packing_holds(network, longest, by_piece=True):
            return _by_piece
        model.set_attn_implementation(usual)
    if packing_holds(network, longest):
        return _together
    log.warning("%s does not take packed samples; it is trained on one at a time, which is slower", base.name)
    return _one_by_one


def _course(samples: Sequence[Sample], base: ModelFiles, settings: Training, seed: int) -> Course:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    course = Course(samples, tokenizer, settings, seed)
    if not len(course):
        raise DataError(
            f"no sample of {len(samples)} is left to train on ({course.too_long} too long); loosen the funnel or raise "
            "`train.max_length`"
        )
    return course


def _held_back(samples: Sequence[Sample], base: ModelFiles, settings: Training, seed: int) -> list[Encoded]:
    """What is held back for validation, in tokens, as it stands."""
    if not samples:
        return []
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    return Course(samples, tokenizer, settings, seed).lessons


def _identity(base: ModelFiles, settings: Training, seed: int, lessons: Sequence[Encoded], start: Path | None) -> str:
    """Names the training: what would give another adapter, and not how it is looked after."""
    told = settings.model_dump(mode="json", exclude={"control": {"process", "memory", "checkpoint_seconds"}})
    begun = Adapter.at(start).digest if start is not None else ""
    return digest_of([base.digest, told, seed, [asdict(one) for one in lessons], begun])[:SHORT]


def _write(network: Any, base: ModelFiles, target: Path) -> None:
    """Save the adapter so that the same training gives the same bytes, on every machine."""
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
        if out_of_memory(error):
            raise ModelError(
                f"{base.name}: the memory is too small for this training; lower `train.batch_size` or "
                "`train.max_length`, or choose a smaller model"
            ) from error
        raise


def _with_adapter(base: ModelFiles, settings: Training) -> Any:
    try:
        network = transformers.AutoModelForCausalLM.from_pretrained(
            base.folder, dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{base.folder}: transformers cannot load this model for training ({error})") from error
    targets: Any = settings.targets[0] if settings.targets == ("all-linear",) else list(settings.targets)
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(network, lora)
    except ValueError as error:
        raise ModelError(f"{base.name}: LoRA does not fit `train.targets` {settings.targets}: {error}") from error


def _arguments(settings: Training, lessons: int, checkpoints: Path, seed: int) -> Any:
    steps = math.ceil(lessons / settings.batch_size)
    return transformers.TrainingArguments(
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
    )
