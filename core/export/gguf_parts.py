"""A GGUF file in parts, and how it is written: entries of its head, and tensors that are read when it is their turn."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.gguf_lora import interleave
from ..models.progress import Progress, silent
from ..training.checkpoints import explaining_write_errors
from .quantizing import UNQUANTISED, Kind, quantised

Array = NDArray[Any]
FILE_TYPES: Mapping[Kind, str] = {
    "f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q6_k": "MOSTLY_Q6_K",
    "q5_k": "MOSTLY_Q5_K_S", "q5_1": "MOSTLY_Q5_1", "q5_0": "MOSTLY_Q5_0", "q4_k": "MOSTLY_Q4_K_S",
    "q4_1": "MOSTLY_Q4_1", "q4_0": "MOSTLY_Q4_0",
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One entry of a GGUF's head, with its types as `gguf` numbers them."""

    name: str
    value: Any
    type: Any
    of: Any = None
    """The type of an array's entries."""


@dataclass(frozen=True)
class Tensor:
    """One matrix or vector as the file is to have it; `read` gives its bytes when it is its turn."""

    name: str
    shape: tuple[int, ...]
    kind: str
    read: Callable[[], Array]


@dataclass(frozen=True)
class AsItIs:
    """The bytes of a tensor of another GGUF."""

    tensor: Any

    def __call__(self) -> Array:
        return np.ascontiguousarray(self.tensor.data)


@dataclass(frozen=True)
class FromFile:
    """A tensor of another GGUF, in another type."""

    tensor: Any
    kind: Kind

    def __call__(self) -> Array:
        import gguf

        return quantised(gguf.quants.dequantize(self.tensor.data, self.tensor.tensor_type), self.kind)


@dataclass(frozen=True)
class FromNetwork:
    """A weight of a network; `heads` says how many heads' rows stand interleaved in the file, None where none do."""

    weight: Any
    kind: Kind
    heads: int | None

    def __call__(self) -> Array:
        rows = self.weight.float().numpy()
        return quantised(rows if self.heads is None else interleave(rows, self.heads), self.kind)


def write_file(
    target: Path, architecture: str, fields: Iterable[Field], tensors: list[Tensor], progress: Progress = silent
) -> None:
    """Write a GGUF, one tensor in memory at a time."""
    import gguf

    writer = gguf.GGUFWriter(None, architecture)
    for field in fields:
        writer.add_key_value(field.name, field.value, field.type, sub_type=field.of)
        if field.name == "general.alignment":
            writer.data_alignment = int(field.value)
    total = 0
    for tensor in tensors:
        type_ = gguf.GGMLQuantizationType[tensor.kind.upper()]
        size = int(np.prod(gguf.quants.quant_shape_to_byte_shape(tensor.shape, type_)))
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, raw_dtype=type_)
        total += size
    label, done = f"writing {target.name}", 0
    progress(label, 0, total)
    with explaining_write_errors(target.parent), ExitStack() as stack:
        stack.callback(writer.close)
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            data = tensor.read()
            writer.write_tensor_data(data)
            done += data.nbytes
            progress(label, done, total)


def about(kind: Kind, name: str) -> Iterator[Field]:
    """What a file says of its own weights."""
    import gguf

    yield Field("general.name", name, gguf.GGUFValueType.STRING)
    yield Field("general.file_type", int(gguf.LlamaFileType[FILE_TYPES[kind]]), gguf.GGUFValueType.UINT32)
    if kind not in UNQUANTISED:
        version = gguf.GGML_QUANT_VERSION
        yield Field("general.quantization_version", version, gguf.GGUFValueType.UINT32)
