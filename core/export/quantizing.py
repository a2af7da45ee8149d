"""Weights in fewer bits, as llama.cpp stores them: by llama.cpp itself where it can be reached, else by gguf's numpy.

`llama_model_quantize`, which turns whole files into mixtures such as Q4_K_M, is not among what xllamacpp exports.
`ggml_quantize_chunk`, which it calls for each matrix, is: so every matrix gets the same type here, but for embeddings
and output layer.
"""

import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..text import nearest

Kind = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNQUANTISED = ("f32", "f16", "bf16")
ONLY_BY_LLAMA_CPP = ("q6_k", "q5_k", "q4_k")  # gguf reads them and cannot write them
# for rows that are no multiple of 256, llama.cpp's own choice (llama-quant.cpp)
IN_SMALLER_BLOCKS: Mapping[Kind, Kind] = {"q6_k": "q8_0", "q5_k": "q5_1", "q4_k": "q5_0"}

Array = NDArray[Any]


def check_kind(name: str) -> Kind:
    """The kind of that name, in any case. Raises ConfigError for what cannot be written, with the reason."""
    wanted = name.lower()
    for kind in KINDS:
        if kind == wanted:
            if kind in ONLY_BY_LLAMA_CPP and engine_quantiser() is None:
                raise ConfigError(
                    f"--quantize {name}: only llama.cpp's own quantiser writes it, and this xllamacpp does not "
                    "export it; take q4_0, q4_1, q5_0, q5_1 or q8_0"
                )
            return kind
    if wanted.startswith(("q", "iq", "tq")) and wanted.count("_"):
        raise ConfigError(
            f"--quantize {name}: such mixtures and types are not written here; take one of {', '.join(KINDS)}, or "
            "write f16 and give that to llama.cpp's llama-quantize"
        )
    raise ConfigError(f"--quantize {name}: there is no such type; {nearest(wanted, KINDS)}")


def kind_for(kind: Kind, name: str, shape: tuple[int, ...]) -> Kind:
    """The type that the tensor `name` (rows last: (out, in)) gets in a file of `kind`.

    Vectors stay float32. Embeddings and output layer have 8 bits at least, as they cost little and decide every word.
    A row that does not fill its blocks gets the next type that it fills.
    """
    if len(shape) < 2:
        return "f32"
    if kind in UNQUANTISED:
        return kind
    if name in ("token_embd.weight", "output.weight"):
        kind = "q8_0"
    if shape[-1] % 256 and kind in IN_SMALLER_BLOCKS:
        kind = IN_SMALLER_BLOCKS[kind]
    return "f16" if shape[-1] % 32 else kind


def quantised(weight: Array, kind: Kind) -> Array:
    """`weight` (…, in), float32, in the bytes of `kind`, (…, bytes of a row)."""
    import gguf

    type_ = gguf.GGMLQuantizationType[kind.upper()]
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    chunk = engine_quantiser()
    if kind in UNQUANTISED or chunk is None:
        return np.ascontiguousarray(gguf.quants.quantize(weight, type_))
    rows, width = weight.size // weight.shape[-1], weight.shape[-1]
    out = np.empty(gguf.quants.quant_shape_to_byte_shape(weight.shape, type_), dtype=np.uint8)
    written = chunk(int(type_), weight.ctypes.data, out.ctypes.data, 0, rows, width, None)
    assert written == out.nbytes, f"{kind}: {written} bytes were written, {out.nbytes} expected"
    return out


@cache
def engine_quantiser() -> Any:
    """ggml's `ggml_quantize_chunk` in the library that xllamacpp brings; None where that does not export it."""
    from ..engines.llamacpp_server import binding

    try:
        chunk = ctypes.CDLL(binding().xllamacpp.__file__).ggml_quantize_chunk
    except (OSError, AttributeError):
        return None
    # (type, source, target, first element, rows, row length, importance matrix) → bytes
    chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    ]  # fmt: skip
    chunk.restype = ctypes.c_size_t
    return chunk
