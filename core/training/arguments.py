"""What the Trainer of transformers is told."""

import math
from pathlib import Path
from typing import Any

import transformers

from .hardware import Hardware
from .settings import Training
from .zero import zero


def arguments_of(settings: Training, lessons: int, checkpoints: Path, seed: int, hardware: Hardware) -> Any:
    """TrainingArguments for so many `lessons`, those of all epochs; making them takes this process to its device."""
    by_deepspeed = settings.shard == "deepspeed"
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
        use_cpu=hardware.device == "cpu",
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,  # at every forward, of which one process may have more than another
        deepspeed=zero(hardware.device) if by_deepspeed else None,
    )
    if by_deepspeed and hardware.dtype.chosen == "bfloat16":  # of the base; the Trainer's own `bf16` is that of all
        arguments.hf_deepspeed_config.config["bf16"] = {"enabled": True}
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else torch's DataParallel would cut our rows apart; several GPUs are several processes
    return arguments
