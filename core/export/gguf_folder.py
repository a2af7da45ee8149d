"""The head of a GGUF for a model that never had one: hyperparameters and tokenizer of a Hugging Face folder.

Llama, Mistral and Qwen2 with a byte-level BPE of a known split; for everything else llama.cpp's own converter knows
more. Keys and their meaning: the GGUF specification and llama.cpp's convert_hf_to_gguf.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..engines.gguf_lora import ROWS_INTERLEAVED, names_of
from ..errors import ModelError
from ..models.store import ModelFiles
from .gguf_parts import Field, FromNetwork, Tensor
from .merged import Merged
from .quantizing import Kind, kind_for

ARCHITECTURES = {"LlamaForCausalLM": "llama", "MistralForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2"}

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# how a tokenizer splits a text before it merges, and llama.cpp's name for that (llama-vocab.cpp)
SPLITS = {
    "byte-level": "gpt-2",
    "digits, byte-level": "smollm",
    f"split {_WORDS}\\p{{N}}{{1,3}}{_REST}, bytes": "llama-bpe",
    f"split {_WORDS}\\p{{N}}{_REST}, bytes": "qwen2",
}


def architecture_of(base: ModelFiles) -> str:
    """llama.cpp's name of the architecture in the folder of `base`. Raises ModelError where it is not known here."""
    try:
        config = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
        name = str((config.get("architectures") or ["?"])[0])
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{base.folder}: its config.json cannot be read ({error}); get the model again") from error
    if name not in ARCHITECTURES:
        _refuse(base, f"its architecture is {name}, and {', '.join(ARCHITECTURES)} are known")
    split_of(base)
    return ARCHITECTURES[name]


def head_of(merged: Merged, base: ModelFiles, architecture: str) -> Iterator[Field]:
    """Hyperparameters and tokenizer. Raises ModelError for what llama.cpp would need more for."""
    import gguf

    config, number, real = merged.network.config, gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default":
        _refuse(base, f"its positions are stretched (`rope_type: {rope['rope_type']}`)")
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    numbers = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": width,
        "attention.value_length": width,
        "rope.dimension_count": width,
        "vocab_size": config.vocab_size,
    }
    yield Field("general.type", "model", gguf.GGUFValueType.STRING)
    for name, value in numbers.items():
        yield Field(f"{architecture}.{name}", int(value), number)
    yield Field(f"{architecture}.rope.freq_base", float(rope.get("rope_theta", 10_000.0)), real)
    yield Field(f"{architecture}.attention.layer_norm_rms_epsilon", float(config.rms_norm_eps), real)
    yield from _tokenizer(merged.tokenizer, base, int(config.vocab_size))


def tensors_of(merged: Merged, base: ModelFiles, architecture: str, kind: Kind) -> Iterator[Tensor]:
    """Every weight of the network under llama.cpp's name, q and k in its order of rows."""
    config = merged.network.config
    names = names_of(architecture, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in merged.network.named_parameters():
        place = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if place is None or (architecture in ROWS_INTERLEAVED and name.endswith(".bias")):
            _refuse(base, f"GGUF has no known place for its `{name}`")
        shape = tuple(weight.shape)
        of = next((count for part, count in heads.items() if f".{part}." in name), None)
        turned = of if architecture in ROWS_INTERLEAVED else None
        wanted = kind_for(kind, place, shape)
        yield Tensor(place, shape, wanted, FromNetwork(weight.detach(), wanted, turned))


def split_of(base: ModelFiles) -> str:
    """llama.cpp's name of how the tokenizer splits a text. Raises ModelError for one that is not known here."""
    described = _tokenizer_json(base.folder)
    if described.get("model", {}).get("type") != "BPE":
        _refuse(base, "its tokenizer is no byte-level BPE")
    said = ", ".join(_splits(described.get("pre_tokenizer") or {}))
    if said not in SPLITS:
        _refuse(base, "its tokenizer splits texts in a way that is not known here")
    return SPLITS[said]


def _splits(described: dict[str, Any]) -> Iterator[str]:
    """The steps of a pre-tokenizer, in words."""
    kind = described.get("type")
    if kind == "Sequence":
        for step in described["pretokenizers"]:
            yield from _splits(step)
    elif kind == "ByteLevel":
        yield "byte-level" if described.get("use_regex", True) else "bytes"
    elif kind == "Digits" and described.get("individual_digits"):
        yield "digits"
    elif kind == "Split":
        pattern = (described.get("pattern") or {}).get("Regex")
        yield "digits" if pattern == r"\p{N}" else f"split {pattern}"
    else:
        yield str(kind)


def _tokenizer(tokenizer: Any, base: ModelFiles, size: int) -> Iterator[Field]:
    import gguf

    text, number = gguf.GGUFValueType.STRING, gguf.GGUFValueType.UINT32
    special = {id_: added.special for id_, added in tokenizer.added_tokens_decoder.items()}
    known = {id_: token for token, id_ in tokenizer.get_vocab().items()}
    types = gguf.TokenType
    kinds = [
        types.UNUSED if id_ not in known
        else types.NORMAL if id_ not in special
        else types.CONTROL if special[id_] else types.USER_DEFINED
        for id_ in range(size)
    ]  # fmt: skip
    merges = _tokenizer_json(base.folder)["model"]["merges"]
    yield Field("tokenizer.ggml.model", "gpt2", text)
    yield Field("tokenizer.ggml.pre", split_of(base), text)
    array = gguf.GGUFValueType.ARRAY
    yield Field("tokenizer.ggml.tokens", [known.get(id_, f"[PAD{id_}]") for id_ in range(size)], array, text)
    yield Field("tokenizer.ggml.token_type", [int(kind) for kind in kinds], array, gguf.GGUFValueType.INT32)
    yield Field(
        "tokenizer.ggml.merges", [one if isinstance(one, str) else " ".join(one) for one in merges], array, text
    )
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "unknown_token_id": tokenizer.unk_token_id,
        "padding_token_id": tokenizer.pad_token_id,
    }
    for name, id_ in ids.items():
        if id_ is not None:
            yield Field(f"tokenizer.ggml.{name}", int(id_), number)
    # the chat template writes the mark itself where it wants one
    yield Field("tokenizer.ggml.add_bos_token", False, gguf.GGUFValueType.BOOL)
    yield Field("tokenizer.chat_template", str(tokenizer.chat_template), text)


def _tokenizer_json(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _refuse(base: ModelFiles, why: str) -> NoReturn:
    raise ModelError(
        f"{base.name}: cannot be written as GGUF, as {why}; use --format merged, and llama.cpp's own "
        "convert_hf_to_gguf.py on that"
    )
