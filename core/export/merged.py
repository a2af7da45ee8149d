"""Base and adapter as one model: the weights with the update added, for whoever loads no adapters."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..engines.base import Adapter
from ..engines.peft_adapters import with_adapters
from ..errors import ConfigError, ModelError
from ..models.pretrained import loading
from ..models.progress import Progress, quiet_transformers, silent
from ..models.store import ModelFiles
from ..training.checkpoints import explaining_write_errors

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
DTYPES: tuple[Dtype, ...] = ("auto", "float32", "float16", "bfloat16")
OUTPUT_LAYERS = ("lm_head", "embed_out", "output_layer")


@dataclass(frozen=True)
class Merged:
    """A network (float32) that the adapter was added to, and its tokenizer."""

    network: Any
    tokenizer: Any
    dtype: Any
    """The dtype of the base's own files."""


def merge(base: ModelFiles, adapter: Adapter, progress: Progress = silent) -> Merged:
    """Add `adapter` to `base` with PEFT, in float32: LoRA with its scale, rank-stabilised or not, and DoRA.

    Raises ModelError for an adapter that does not fit the base, that changes an output layer which the base shares
    with its embeddings, or that gives weights which are no numbers.
    """
    import transformers

    progress("merging", 0, 2)
    with loading(base.name, "a causal language model"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
        config = transformers.AutoConfig.from_pretrained(base.folder, local_files_only=True)
        network = transformers.AutoModelForCausalLM.from_pretrained(base.folder, dtype="float32", local_files_only=True)
    if config.tie_word_embeddings and (layer := _changes_output(adapter)):
        raise ModelError(
            f"{adapter.folder}: it changes `{layer}`, which {base.name} shares with its embeddings, so one cannot be "
            "changed alone in a merged model; serve the adapter beside its base, with --format peft"
        )
    progress("merging", 1, 2)
    with quiet_transformers():
        adapted = with_adapters(network, [adapter])
    try:
        network = adapted.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(f"{adapter.folder}: this adapter cannot be added to {base.name} ({reason})") from error
    progress("merging", 2, 2)
    return Merged(network.eval(), tokenizer, getattr(config, "dtype", None))


def write_merged(merged: Merged, base: ModelFiles, folder: Path, dtype: Dtype) -> None:
    """Write safetensors, configuration, tokenizer and chat template to the new folder `folder`.

    `auto` is the dtype of the base's own files. The network is left in that dtype.
    """
    import torch

    wanted = merged.dtype or torch.float32 if dtype == "auto" else getattr(torch, dtype)
    with explaining_write_errors(folder), quiet_transformers():
        merged.network.to(wanted)
        merged.network.config.dtype = wanted
        merged.network.config._name_or_path = base.name  # else the folder of this machine
        merged.network.save_pretrained(folder)
        merged.tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # written for the owner alone
        weights.chmod((folder / "config.json").stat().st_mode)


def check_dtype(name: str) -> Dtype:
    """Raises ConfigError for a dtype that is none of DTYPES."""
    for dtype in DTYPES:
        if dtype == name:
            return dtype
    raise ConfigError(f"--dtype {name}: there is no such dtype here; take one of {', '.join(DTYPES)}")


def _changes_output(adapter: Adapter) -> str | None:
    """The output layer among the modules whose weights `adapter` holds."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter.folder / "adapter_model.safetensors", framework="pt") as weights:
            parts = {part for key in weights.keys() for part in key.split(".")}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(
            f"{adapter.folder}: cannot be read as safetensors ({error}); copy or train the adapter again"
        ) from error
    return next((layer for layer in OUTPUT_LAYERS if layer in parts), None)


def adapter_config(adapter: Adapter) -> dict[str, Any]:
    """What `adapter_config.json` says. Raises ModelError when it is no JSON object."""
    path = adapter.folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return dict(config)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: this is not the configuration of an adapter ({error}); train it again") from error
