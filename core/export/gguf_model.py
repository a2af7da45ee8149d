"""A merged model as one GGUF file: what the base's own GGUF says of itself, with other weights."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines.gguf_lora import ROWS_AS_THEY_ARE, ROWS_INTERLEAVED, interleaved_heads, tensor_names
from ..errors import ModelError
from ..models.progress import Progress, silent
from ..models.store import ModelFiles
from ..registry.gguf_header import Value, read_head
from .gguf_folder import architecture_of, head_of, tensors_of
from .gguf_parts import AsItIs, Field, FromFile, FromNetwork, Tensor, about, write_file
from .merged import Merged
from .quantizing import UNQUANTISED, Kind, kind_for

WRITTEN_ANEW = ("general.architecture", "general.file_type", "general.quantization_version", "general.name")
ABOUT_THE_OLD_BITS = "quantize."  # the importance matrix that the base was quantised by


@dataclass(frozen=True)
class Figures:
    """What was written: how many tensors of each type, and how many of them are the base's, bit for bit."""

    kinds: Mapping[str, int]
    kept: int


def write_gguf(
    merged: Merged, base: ModelFiles, target: Path, kind: Kind, name: str, progress: Progress = silent
) -> Figures:
    """Write `merged` as the new file `target`, with weights of `kind`; `name` is what the file calls itself.

    Tokenizer, chat template and hyperparameters are those of the base's GGUF, entry by entry; a base without one is
    described from its folder. A tensor that the adapter left alone is copied as it is where it is no larger than `kind`
    would make it, since to quantise it again could only lose. Memory holds one tensor beside the network.

    Raises ModelError as `check_gguf_fits` does, and for changed weights that have no place in the file.
    """
    import gguf

    if base.gguf is None:
        architecture = architecture_of(base)
        head = head_of(merged, base, architecture)
        tensors = list(tensors_of(merged, base, architecture, kind))
    else:
        reader = gguf.GGUFReader(base.gguf)
        architecture = check_gguf_fits(base)
        head = _fields(reader)
        tensors = list(_tensors(reader, architecture, merged, base, kind))
    write_file(target, architecture, [*head, *about(kind, name)], tensors, progress)
    kinds = [tensor.kind for tensor in tensors]
    kept = sum(isinstance(tensor.read, AsItIs) for tensor in tensors)
    return Figures({one: kinds.count(one) for one in dict.fromkeys(kinds)}, kept)


def check_gguf_fits(base: ModelFiles) -> str:
    """llama.cpp's name of the base's architecture. Raises ModelError where its layout in GGUF is not known here."""
    if base.gguf is None:
        return architecture_of(base)
    architecture = str(read_head(base.gguf).values["general.architecture"])
    if architecture not in ROWS_INTERLEAVED | ROWS_AS_THEY_ARE:
        raise ModelError(
            f"{base.name}: a merged model of the architecture `{architecture}` cannot be written as GGUF; use "
            "--format merged, and llama.cpp's own convert_hf_to_gguf.py on that"
        )
    return architecture


def _fields(reader: Any) -> Iterator[Field]:
    """The entries of the base's head that stay true."""
    import gguf

    for field in reader.fields.values():
        if field.name in WRITTEN_ANEW or field.name.startswith(("GGUF.", ABOUT_THE_OLD_BITS)):
            continue
        value, array = field.contents(), field.types[0] == gguf.GGUFValueType.ARRAY
        if not (array and len(value) == 0):  # gguf writes no empty array; llama.cpp takes none for an empty one
            yield Field(field.name, value, field.types[0], field.types[-1] if array else None)


def _tensors(reader: Any, architecture: str, merged: Merged, base: ModelFiles, kind: Kind) -> Iterator[Tensor]:
    """The base's tensors in their order, those that the adapter changed with their new weights."""
    assert base.gguf is not None
    values = read_head(base.gguf).values
    heads = interleaved_heads(values, architecture)
    changed = _changed(values, architecture, merged, base)
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        wanted = kind_for(kind, tensor.name, shape)
        if (weight := changed.pop(tensor.name, None)) is not None:
            yield Tensor(
                tensor.name, shape, wanted, FromNetwork(weight, wanted, heads.get(tensor.name.split(".", 2)[-1]))
            )
        elif len(shape) < 2 or _fits(tensor, wanted, kind):
            yield Tensor(tensor.name, shape, tensor.tensor_type.name.lower(), AsItIs(tensor))
        else:
            yield Tensor(tensor.name, shape, wanted, FromFile(tensor, wanted))
    if changed:
        raise ModelError(
            f"{base.name}: the adapter changes `{next(iter(changed))}`, which the base's GGUF does not have; use "
            "--format merged"
        )


def _changed(values: Mapping[str, Value], architecture: str, merged: Merged, base: ModelFiles) -> dict[str, Any]:
    """Weights by llama.cpp's names that differ from the base's."""
    names = tensor_names(values, architecture)
    found = {}
    for name, weight in _differing(merged.network, base.folder):
        place = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if place is None or weight.ndim != 2:  # some architectures' norms and biases stand otherwise in GGUF
            raise ModelError(
                f"{base.name}: the adapter changes `{name}`, whose place or layout in GGUF is not known here; use "
                "--format merged"
            )
        found[place] = weight
    return found


def _differing(network: Any, folder: Path) -> Iterator[tuple[str, Any]]:
    """Parameters that are not those of the folder `network` was loaded from, read one at a time."""
    import torch
    from safetensors import safe_open

    with ExitStack() as stack:
        where: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file = stack.enter_context(safe_open(path, framework="pt"))
            where |= dict.fromkeys(file.keys(), file)
        for name, weight in network.named_parameters():
            if name not in where or not torch.equal(where[name].get_tensor(name).float(), weight.detach().float()):
                yield name, weight.detach()


def _fits(tensor: Any, wanted: Kind, kind: Kind) -> bool:
    """Whether the base's own bytes do in a file of `kind`."""
    import gguf

    if kind in UNQUANTISED:
        return bool(tensor.tensor_type.name.lower() == wanted)
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[wanted.upper()]]
    return bool(tensor.n_bytes * block <= tensor.n_elements * size)
