"""The same samples trained by others: transformers' Trainer with its padding collator, or TRL's SFTTrainer.

    python peer_trainers.py trainer|trl FOLDER

`FOLDER/request.json` says base, LoRA, rate, batch and threads, and holds the samples in tokens, in the order in which
they are trained on. Prints {ends, losses, resident}: when each step ended in seconds, and the largest resident size in
MiB. The adapter is in FOLDER/adapter afterwards. Settings are those that make each quick here: no checkpoints, no
gradient checkpointing, which is on in TRL, fp32.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model

IGNORED = -100


class Clock(transformers.TrainerCallback):
    """When each step ended, in seconds."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    asked = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    torch.set_num_threads(asked["threads"])
    transformers.set_seed(asked["seed"])  # before the random A matrices, as we do
    network = transformers.AutoModelForCausalLM.from_pretrained(asked["base"], dtype=torch.float32)
    lora = LoraConfig(r=asked["rank"], lora_alpha=asked["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
    clock = Clock()
    trainer = {"trainer": plain, "trl": trl}[kind](network, lora, asked, str(folder), clock)
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    trainer.model.save_pretrained(folder / "adapter")
    print(json.dumps({"ends": clock.ends, "losses": losses, "resident": resident}))


def plain(network: Any, lora: Any, asked: dict[str, Any], folder: str, clock: Clock) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(asked["base"])
    return transformers.Trainer(
        model=get_peft_model(network, lora),
        args=transformers.TrainingArguments(**options(asked, folder)),
        train_dataset=[
            {
                "input_ids": row["prompt"] + row["completion"],
                "labels": [IGNORED] * len(row["prompt"]) + row["completion"],
                "attention_mask": [1] * (len(row["prompt"]) + len(row["completion"])),
            }
            for row in asked["rows"]
        ],
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer, padding=True),
        callbacks=[clock],
    )


def trl(network: Any, lora: Any, asked: dict[str, Any], folder: str, clock: Clock) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [
        {
            "input_ids": row["prompt"] + row["completion"],
            "completion_mask": [0] * len(row["prompt"]) + [1] * len(row["completion"]),
        }
        for row in asked["rows"]
    ]
    return SFTTrainer(
        model=network,
        peft_config=lora,
        # rows in tokens: the mask of the completion counts only when asked for
        args=SFTConfig(
            **options(asked, folder), gradient_checkpointing=False, max_length=None, completion_only_loss=True
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(asked["base"]),
        callbacks=[clock],
    )


def options(asked: dict[str, Any], folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "per_device_train_batch_size": asked["batch"],
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": asked["rate"],
        "lr_scheduler_type": "linear",
        "warmup_steps": asked["warmup"],
        "max_grad_norm": 1.0,
        "optim": "adamw_torch",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,
        "dataloader_pin_memory": False,
        "use_cpu": True,
        "seed": asked["seed"],
    }


if __name__ == "__main__":
    main()
