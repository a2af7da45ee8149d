"""The shapes of a base's weights, read from the headers of its files: no model is loaded, no torch imported."""

import json
import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Shape = tuple[int, ...]

ENDS = re.compile(r"(^|\.)(embed_tokens|wte|wpe|word_embeddings|embed_out|lm_head|output)$")
"""Embeddings and output heads: two dimensions as well, and no part of what `all-linear` means."""

ROUTERS = re.compile(r"(^|\.)(\w+_)?(gate|router)$")


def weight_shapes(folder: Path) -> dict[str, Shape]:
    """Module → shape of its `weight`, over all safetensors files of a model folder.

    A file that is damaged or of another kind tells nothing: whoever loads it says what is wrong.
    """
    shapes: dict[str, Shape] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with suppress(OSError, ValueError, KeyError, TypeError, struct.error):
            for name, entry in _header(path).items():
                if name.endswith(".weight"):
                    shapes[name.removesuffix(".weight")] = tuple(entry["shape"])
    return shapes


def targeted(shapes: dict[str, Shape], targets: Sequence[str]) -> dict[str, Shape]:
    """The modules that PEFT would give an update: those of two dimensions that `targets` name.

    For `all-linear` routers of experts are passed over: they look like linear layers here, and most are none.
    """
    flat = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    if tuple(targets) == ("all-linear",):
        return {name: shape for name, shape in flat.items() if not ENDS.search(name) and not ROUTERS.search(name)}
    return {name: shape for name, shape in flat.items() if any(f".{name}".endswith(f".{one}") for one in targets)}


def _header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: eight bytes that say how long it is, then JSON."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    return header
