"""Training one LoRA adapter: the Trainer of transformers with our collator and our loss."""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset

from ..errors import DataError, ModelError
from ..models.store import ModelFiles
from ..samples import Sample
from ..workspace import explaining_disk_errors, writing
from .packing import Encoded, encode, pack
from .settings import Training
from .trained import Trained

OnStep = Callable[[int, int, float], None]  # step, steps in all, loss


def train_adapter(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    seed: int,
    target: Path,
    checkpoints: Path,
    on_step: OnStep = lambda step, steps, loss: None,
) -> Trained:
    """Train an adapter of `base` on `samples` and write it to `target`, whole or not at all.

    A training that was killed goes on from its last whole checkpoint in `checkpoints`. Raises DataError when
    nothing is left to train on, ModelError when the loss is no longer a number.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    encoded, too_long = encode(samples, tokenizer, settings.max_length)
    if not encoded:
        raise DataError(f"no sample of {len(samples)} is left to train on; loosen the funnel or raise max_length")
    transformers.set_seed(seed)  # before the adapter's random A matrices
    network = _with_adapter(base, settings)
    curve = _Curve(on_step)
    arguments = _arguments(settings, len(encoded), checkpoints, seed)
    trainer = PackingTrainer(
        model=network, args=arguments, train_dataset=_Rows(encoded), data_collator=pack, callbacks=[curve]
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.remove_callback(transformers.trainer_callback.ProgressCallback)
    last = last_checkpoint(checkpoints)
    started = time.perf_counter()
    with explaining_disk_errors(checkpoints):
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    seconds = time.perf_counter() - started
    with writing(target) as folder:
        network.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's unfilled model card
        _name_base(folder / "adapter_config.json", base.name)
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    tail = losses[-max(1, len(losses) // 10) :]
    first = int(last.name.rpartition("-")[2]) if last else 0
    tokens = sum(len(one) for one in encoded) * settings.epochs
    done = tokens * (1 - first / max(1, len(losses)))
    return Trained(
        samples=len(encoded),
        too_long=too_long,
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=done / seconds if seconds else 0.0,
        final_loss=sum(tail) / len(tail),
        losses=losses,
        resumed_at=first,
    )


class PackingTrainer(transformers.Trainer):  # type: ignore[misc]
    """transformers' Trainer on packed rows: the LM head runs on completion tokens only."""

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Weighted mean cross-entropy over the batch's completion tokens, in nats."""
        targets, weights = inputs.pop("targets"), inputs.pop("weights")
        output = model(**inputs, use_cache=False)
        losses = F.cross_entropy(output.logits[0].float(), targets, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        if not torch.isfinite(loss):
            raise ModelError("the training loss is no longer a number; lower `train.learning_rate` and run again")
        return (loss, output) if return_outputs else loss


class _Rows(Dataset[Encoded]):
    def __init__(self, rows: Sequence[Encoded]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Encoded:
        return self._rows[index]


class _Curve(transformers.TrainerCallback):  # type: ignore[misc]
    """Hands each step's loss on as it is logged."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self._on_step(state.global_step, state.max_steps, float(logs["loss"]))


def _with_adapter(base: ModelFiles, settings: Training) -> Any:
    try:
        network = transformers.AutoModelForCausalLM.from_pretrained(
            base.folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
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


def _arguments(settings: Training, rows: int, checkpoints: Path, seed: int) -> Any:
    steps = math.ceil(rows / settings.batch_size) * settings.epochs
    return transformers.TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(steps * settings.warmup),
        weight_decay=settings.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch",
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


def _name_base(config: Path, name: str) -> None:
    """Put the base's name in place of its path, which would change the adapter's digest from machine to machine."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = name
    config.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint whose state file is whole; it is written last, so the rest is whole too."""
    numbered = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(numbered):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return path
    return None
