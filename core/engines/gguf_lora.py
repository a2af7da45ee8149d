"""A PEFT LoRA adapter as the GGUF file that llama.cpp loads beside its base."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..registry.gguf_header import Head, Value, read_head
from ..workspace import writing
from .base import Adapter

EXPORT = 1
"""Raise it when the file written for the same adapter changes; it is a part of the file's name in the cache."""

Array = NDArray[np.float32]
KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")

# How llama.cpp's converter (convert_hf_to_gguf.py) lays out the rows of q and k: as they are, or with the rotary
# halves of each head interleaved. Other architectures reorder or merge more than that, and are refused.
ROWS_INTERLEAVED = {"llama"}
ROWS_AS_THEY_ARE = {
    "gemma2", "gemma3", "nemotron", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "stablelm", "starcoder2"
}  # fmt: skip

# what makes more of an adapter than base + scale · B · A
INEXPRESSIBLE = {
    "alora_invocation_tokens": "activation by tokens (aLoRA)",
    "alpha_pattern": "alphas that differ by layer",
    "arrow_config": "routing (Arrow)",
    "fan_in_fan_out": "transposed weights (`fan_in_fan_out`)",
    "kasa_config": "a truncated base (KaSA)",
    "layer_replication": "replicated layers",
    "lora_bias": "biases of its own (`lora_bias`)",
    "modules_to_save": "fully trained modules (`modules_to_save`)",
    "monteclora_config": "sampled matrices (MonteCLoRA)",
    "rank_pattern": "ranks that differ by layer",
    "trainable_token_indices": "trained tokens",
    "use_bdlora": "block-diagonal matrices (BD-LoRA)",
    "use_dora": "DoRA",
    "use_qalora": "pooled inputs (QA-LoRA)",
}
CHANGES_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")


def export_lora(adapter: Adapter, base_gguf: Path, target: Path) -> Path:
    """Write `adapter` for the model in `base_gguf` to `target` (GGUF, f32), whole or not at all.

    Raises ModelError for what llama.cpp cannot express: DoRA, fully trained modules, biases, a LoRA on
    embeddings, ranks or alphas that differ by layer; for an architecture whose layout is not known here; and for an
    adapter of another base, as far as shapes tell.
    """
    import gguf

    config = check_expressible(adapter)
    base = _head(base_gguf)
    architecture = str(base.values["general.architecture"])
    if architecture not in ROWS_INTERLEAVED | ROWS_AS_THEY_ARE:
        raise ModelError(
            f"{base_gguf}: adapters of the architecture `{architecture}` cannot be converted for llama.cpp; "
            "set `engine: {kind: transformers}`"
        )
    tensors = _named(adapter.folder, tensor_names(base.values, architecture))
    _check_shapes(tensors, base.shapes, adapter.folder)
    _interleave_rotary(tensors, base.values, architecture)

    with writing(target) as temporary:
        writer = gguf.GGUFWriter(str(temporary), architecture)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", _effective_alpha(config))
        for (name, side), (_, weight) in tensors.items():
            writer.add_tensor(f"{name}.lora_{side.lower()}", np.ascontiguousarray(weight))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


def _head(base_gguf: Path) -> Head:
    try:
        return read_head(base_gguf)
    except ValueError as error:
        raise ModelError(f"{base_gguf}: {error}; fetch the model again") from error


def interleave(rows: Array, heads: int) -> Array:
    """Reorder the rows (out, r) of each head from rotary halves to the interleaved pairs of llama.cpp."""
    out = rows.shape[0]
    halves = rows.reshape(heads, 2, out // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def check_expressible(adapter: Adapter) -> dict[str, Any]:
    """The adapter's configuration. Raises ModelError where it says what llama.cpp cannot do."""
    folder = adapter.folder
    path = folder / "adapter_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _effective_alpha(config)
        found = [reason for key, reason in INEXPRESSIBLE.items() if config.get(key)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: this is not the configuration of a LoRA adapter ({error!r})") from error
    if (kind := str(config.get("peft_type", "LORA")).upper()) != "LORA":
        found.append(f"the method {kind}")
    if config.get("bias", "none") != "none":
        found.append("trained biases")
    if str(start := config.get("init_lora_weights")).startswith(CHANGES_THE_BASE):
        found.append(f"a changed base (`init_lora_weights: {start}`)")
    if found:
        raise ModelError(f"{folder}: llama.cpp cannot serve an adapter with {' and '.join(found)}; train plain LoRA")
    return config


def _effective_alpha(config: dict[str, Any]) -> float:
    """llama.cpp scales by alpha/r; rank-stabilised LoRA scales by alpha/√r, so alpha grows by √r."""
    alpha, rank = float(config["lora_alpha"]), int(config["r"])
    return float(alpha * rank**0.5) if config.get("use_rslora") else alpha


Tensors = dict[tuple[str, str], tuple[str, Array]]
"""By llama.cpp's name and side (A or B): the key in the adapter, and the weight."""


def _named(folder: Path, names: Any) -> Tensors:
    from safetensors import SafetensorError, safe_open

    path = folder / "adapter_model.safetensors"
    tensors: Tensors = {}
    try:
        with safe_open(path, framework="pt") as weights:  # numpy does not know bfloat16
            for key in sorted(weights.keys()):
                match = KEY.fullmatch(key)
                name = names.get_name(match["module"]) if match else None
                if match is None or name is None:
                    raise ModelError(f"{folder}: llama.cpp has no place for `{key}`; train without it")
                tensors[f"{name}.weight", match["side"]] = (key, weights.get_tensor(key).float().numpy())
    except SafetensorError as error:
        raise ModelError(f"{path}: cannot be read as safetensors ({error}); copy or train the adapter again") from error
    if not tensors:
        raise ModelError(f"{path}: holds no LoRA weights; train the adapter again")
    return tensors


def _check_shapes(tensors: Tensors, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """A is (r, in) and B is (out, r) beside a base weight of (out, in)."""
    for (name, side), (key, weight) in tensors.items():
        if name == "output.weight" and name not in shapes:
            raise ModelError(f"{folder}: `{key}` changes an output layer that the base shares with its embeddings, "
                             "which llama.cpp cannot do; train without it")  # fmt: skip
        _, other = tensors.get((name, "B" if side == "A" else "A"), (key, None))
        expected, axis = shapes.get(name), 1 if side == "A" else 0
        fits = expected is not None and len(expected) == weight.ndim == 2 and weight.shape[axis] == expected[axis]
        if not fits or other is None or other.shape[axis] != weight.shape[1 - axis]:
            raise ModelError(
                f"{folder}: `{key}` of shape {weight.shape} does not fit the base ({expected}); "
                "the adapter belongs to another model"
            )


def _interleave_rotary(tensors: Tensors, values: Mapping[str, Value], architecture: str) -> None:
    """Put the rows of B where llama.cpp keeps those of the base's q and k; columns, and so A, stay."""
    heads = interleaved_heads(values, architecture)
    for (name, side), (key, weight) in tensors.items():
        count = heads.get(name.split(".", 2)[-1])
        if side == "B" and count:
            tensors[name, side] = (key, interleave(weight, count))


def interleaved_heads(values: Mapping[str, Value], architecture: str) -> dict[str, int]:
    """Heads of the tensors of a block whose rows llama.cpp interleaves; none where rows stay as they are.

    `values` are those of the head of the base's GGUF.
    """
    if architecture not in ROWS_INTERLEAVED:
        return {}
    heads = int(values[f"{architecture}.attention.head_count"])
    return {
        "attn_q.weight": heads,
        "attn_k.weight": int(values.get(f"{architecture}.attention.head_count_kv", heads)),
    }


def tensor_names(values: Mapping[str, Value], architecture: str) -> Any:
    """gguf's map from the names of transformers to those of llama.cpp."""
    return names_of(architecture, int(values[f"{architecture}.block_count"]))


def names_of(architecture: str, blocks: int) -> Any:
    """The same for a model of that many blocks."""
    import gguf

    numbers = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(numbers[architecture], blocks)
