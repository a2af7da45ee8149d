"""A PEFT LoRA adapter as the GGUF file that llama.cpp loads beside its base."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..workspace import writing
from .base import Adapter

Array = NDArray[np.float32]
KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
# llama.cpp keeps these architectures' q and k rows interleaved for its rotary embedding
ROTARY_INTERLEAVED = {"llama", "mistral"}


def export_lora(adapter: Adapter, base_gguf: Path, target: Path) -> Path:
    """Write `adapter` for the model in `base_gguf` to `target` (GGUF, f32), whole or not at all.

    Raises ModelError for what llama.cpp cannot express: DoRA, fully trained modules, biases, a LoRA on
    embeddings, ranks or alphas that differ by layer, or an adapter of another base.
    """
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((adapter.folder / "adapter_config.json").read_text(encoding="utf-8"))
    _refuse_inexpressible(config, adapter.folder)
    base = gguf.GGUFReader(base_gguf)
    architecture = str(base.fields["general.architecture"].contents())
    heads = int(base.fields[f"{architecture}.attention.head_count"].contents())
    heads_kv = int(base.fields[f"{architecture}.attention.head_count_kv"].contents())
    blocks = int(base.fields[f"{architecture}.block_count"].contents())
    names = gguf.get_tensor_name_map(_architecture(gguf, architecture), blocks)
    shapes = {tensor.name: tuple(int(n) for n in reversed(tensor.shape)) for tensor in base.tensors}

    with writing(target) as temporary:
        writer = gguf.GGUFWriter(str(temporary), architecture)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", _effective_alpha(config))
        for key, value in sorted(load_file(adapter.folder / "adapter_model.safetensors").items()):
            match = KEY.fullmatch(key)
            name = names.get_name(match["module"]) if match else None
            if match is None or name is None:
                raise ModelError(f"{adapter.folder}: llama.cpp has no place for `{key}`; train without it")
            tensor, side = f"{name}.weight", match["side"]
            weight: Array = value.astype(np.float32)
            _check_shape(weight, side, shapes.get(tensor), key, adapter.folder)
            if side == "B" and architecture in ROTARY_INTERLEAVED:
                if tensor.endswith("attn_q.weight"):
                    weight = interleave(weight, heads)
                elif tensor.endswith("attn_k.weight"):
                    weight = interleave(weight, heads_kv)
            writer.add_tensor(f"{tensor}.lora_{side.lower()}", np.ascontiguousarray(weight))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


def interleave(rows: Array, heads: int) -> Array:
    """Reorder the rows (out, r) of each head from rotary halves to the interleaved pairs of llama.cpp."""
    out = rows.shape[0]
    halves = rows.reshape(heads, 2, out // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _effective_alpha(config: dict[str, Any]) -> float:
    """llama.cpp scales by alpha/r; rank-stabilised LoRA scales by alpha/√r, so alpha grows by √r."""
    alpha, rank = float(config["lora_alpha"]), int(config["r"])
    return alpha * rank**0.5 if config.get("use_rslora") else alpha


def _refuse_inexpressible(config: dict[str, Any], folder: Path) -> None:
    reasons = {
        "DoRA": config.get("use_dora"),
        "fully trained modules (`modules_to_save`)": config.get("modules_to_save"),
        "trained biases": config.get("bias", "none") != "none",
        "ranks that differ by layer": config.get("rank_pattern"),
        "alphas that differ by layer": config.get("alpha_pattern"),
        "transposed weights (`fan_in_fan_out`)": config.get("fan_in_fan_out"),
    }
    if found := [reason for reason, present in reasons.items() if present]:
        raise ModelError(f"{folder}: llama.cpp cannot serve an adapter with {' and '.join(found)}; train plain LoRA")


def _check_shape(weight: Array, side: str, base: tuple[int, ...] | None, key: str, folder: Path) -> None:
    axis = 1 if side == "A" else 0  # A is (r, in), B is (out, r), the base weight (out, in)
    if base is None or weight.shape[axis] != base[axis]:
        raise ModelError(
            f"{folder}: `{key}` of shape {weight.shape} does not fit the base ({base}); it belongs to another model"
        )


def _architecture(gguf: Any, name: str) -> Any:
    for architecture, known in gguf.MODEL_ARCH_NAMES.items():
        if known == name:
            return architecture
    raise ModelError(f"the architecture `{name}` is unknown to the installed gguf package; update it")
