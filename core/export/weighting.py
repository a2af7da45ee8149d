"""Several adapters of one base as one: sums of their updates, with or without what they disagree on.

The arithmetic is PEFT's (`add_weighted_adapter`): TIES of Yadav et al. 2023, DARE of Yu et al. 2024.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..engines.base import Adapter
from ..engines.gguf_lora import INEXPRESSIBLE
from ..engines.peft_adapters import slot, with_adapters
from ..errors import ConfigError, ModelError
from ..models.pretrained import loading
from ..models.progress import Progress, quiet_transformers, silent
from ..models.store import ModelFiles
from ..text import nearest
from ..training.checkpoints import explaining_write_errors
from ..workspace import writing
from .merged import adapter_config

Method = Literal["linear", "cat", "ties", "dare_linear", "dare_ties"]
METHODS: tuple[Method, ...] = get_args(Method)
# PEFT's names of the same, on whole updates B · A. Its `linear` and `ties` sum A and B each by itself, which multiplies
# every A with every B: of an adapter and itself, at a half each, they make twice the adapter and half of it
ON_UPDATES = {
    "linear": "svd",
    "cat": "cat",
    "ties": "ties_svd",
    "dare_linear": "dare_linear_svd",
    "dare_ties": "dare_ties_svd",
}


@dataclass(frozen=True)
class Recipe:
    """How adapters become one."""

    method: Method = "linear"
    weights: tuple[float, ...] = ()
    """One for each adapter; empty: the mean, which TIES takes by itself over those that agree."""
    density: float = 0.5
    """Share of an update that TIES and DARE keep."""
    seed: int = 0
    """Of what DARE drops."""

    def for_adapters(self, count: int) -> list[float]:
        """The weight of each. Raises ConfigError when there is not one for each."""
        if self.weights and len(self.weights) != count:
            raise ConfigError(f"--weights gives {len(self.weights)} weights for {count} adapters; give one for each")
        return list(self.weights) or [1.0 if self.method.endswith("ties") else 1 / count] * count


def check_method(name: str) -> Method:
    """Raises ConfigError for a method that there is not."""
    for method in METHODS:
        if method == name:
            return method
    raise ConfigError(f"--method {name}: there is no such method; {nearest(name, METHODS)}")


def merge_adapters(
    adapters: Sequence[Adapter], base: ModelFiles, recipe: Recipe, target: Path, progress: Progress = silent
) -> Adapter:
    """Write the weighted sum of `adapters`, which are all of `base`, to the new folder `target`.

    Its scale is 1, whatever the scales of the adapters were; the same recipe and seed give the same bytes. Its rank
    is the largest among theirs, and its update the nearest of that rank; `cat` keeps the sum, of all ranks together.

    Raises ConfigError for fewer than two adapters or weights that are not theirs, ModelError for adapters that differ
    in targets, or that are more than plain LoRA.
    """
    import torch
    import transformers

    if len(adapters) < 2:
        raise ConfigError("one adapter is nothing to merge; give two or more")
    weights = recipe.for_adapters(len(adapters))
    _check_alike(adapters)
    progress("merging adapters", 0, 3)
    with loading(base.name, "a causal language model"):
        network: Any = transformers.AutoModelForCausalLM.from_pretrained(
            base.folder, dtype="float32", local_files_only=True
        )
    with quiet_transformers():
        network = with_adapters(network, adapters)
    progress("merging adapters", 1, 3)
    pruning = {} if recipe.method in ("linear", "cat") else {"density": recipe.density}
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(recipe.seed)
        network.base_model.add_weighted_adapter(
            [slot(number) for number in range(len(adapters))], weights, "merged",
            combination_type=ON_UPDATES[recipe.method], svd_full_matrices=False, **pruning,
        )  # fmt: skip
    progress("merging adapters", 2, 3)
    _save(network, base, target)
    progress("merging adapters", 3, 3)
    return Adapter.at(target)


def _check_alike(adapters: Sequence[Adapter]) -> None:
    configs = [adapter_config(adapter) for adapter in adapters]
    for adapter, config in zip(adapters, configs, strict=True):
        found = [reason for key, reason in INEXPRESSIBLE.items() if config.get(key)]
        if config.get("bias", "none") != "none":
            found.append("trained biases")
        if config.get("peft_type") != "LORA":
            found.append(f"the method {config.get('peft_type')}")
        if found:
            raise ModelError(f"{adapter.folder}: an adapter with {' and '.join(found)} has no weighted sum; "
                             "give plain LoRA")  # fmt: skip
    first, first_config = adapters[0], configs[0]
    for adapter, config in zip(adapters, configs, strict=True):
        if _targets(config) != _targets(first_config):
            raise ModelError(
                f"{adapter.folder}: it changes other layers ({_said(config)}) than {first.folder} "
                f"({_said(first_config)}); give adapters with the same `targets`"
            )


def _targets(config: dict[str, Any]) -> object:
    targets = config.get("target_modules")
    return frozenset(targets) if isinstance(targets, list) else targets


def _said(config: dict[str, Any]) -> str:
    targets = config.get("target_modules")
    return ", ".join(sorted(targets)) if isinstance(targets, list) else str(targets)


def _save(network: Any, base: ModelFiles, target: Path) -> None:
    """PEFT saves an adapter of another name than `default` into a folder of that name."""
    with explaining_write_errors(target.parent), writing(target) as folder:
        scratch = folder.with_name("saved")
        # embeddings are not asked about, or PEFT would look the base up on the Hub
        network.save_pretrained(scratch, selected_adapters=["merged"], save_embedding_layers=False)
        shutil.move(scratch / "merged", folder)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's unfilled model card
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        # the sum holds every scale already; PEFT sets alpha = r and keeps the first adapter's use_rslora
        config |= {"use_rslora": False, "lora_alpha": config["r"], "base_model_name_or_path": base.name}
        if isinstance(config["target_modules"], list):  # a set in PEFT: in another order in every process
            config["target_modules"].sort()
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
