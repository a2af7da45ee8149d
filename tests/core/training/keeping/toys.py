"""A tiny model with an update, and a champion beside it."""

from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from wheelwork.core.engines.base import Adapter
from wheelwork.core.models.progress import quiet_transformers
from wheelwork.core.models.store import ModelFiles
from wheelwork.tests.tiny import tiny_adapter


def champion(folder: Path, base: ModelFiles, seed: int = 1, **config: Any) -> Adapter:
    """A random adapter of `base`, as a training leaves one: with the base's name instead of its path."""
    place = tiny_adapter(folder, base.folder, seed, **config)
    path = place / "adapter_config.json"
    path.write_text(path.read_text(encoding="utf-8").replace(str(base.folder), base.name), encoding="utf-8")
    return Adapter.at(place)


def network_of(base: ModelFiles, seed: int = 0, std: float = 0.1, **config: Any) -> Any:
    """`base` with an update of rank 4 of its own, which changes its answers."""
    lora = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | config)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_pretrained(base.folder, local_files_only=True)
        network = get_peft_model(model, lora)
        for name, weight in network.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=std)
    return network.eval()
