"""What the head of a GGUF file says of its model, without the tokens: the library's reader takes seconds for these.

Layout: the GGUF specification, version 2 and 3 (little-endian).
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

KEY = "general.file_type"
LAYOUTS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
SIZES = {kind: struct.calcsize(layout) for kind, layout in LAYOUTS.items()}  # value type → bytes
STRING, ARRAY = 8, 9

Value = int | float | bool | str


class Head(NamedTuple):
    """Every value that is no array, by its key; and the tensors' shapes by name, as PyTorch has them: (out, in)."""

    values: dict[str, Value]
    shapes: dict[str, tuple[int, ...]]


def read_head(path: Path) -> Head:
    """Raises OSError, and ValueError for what is no whole head."""
    values: dict[str, Value] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    with path.open("rb") as stream:
        try:
            tensors, count = _counts(stream)
            for _ in range(count):
                key, kind = _string(stream).decode(), _number(stream, "<I")
                if kind == ARRAY:
                    _skip(stream, kind)
                else:
                    values[key] = _string(stream).decode() if kind == STRING else _unpacked(stream, LAYOUTS[kind])
            for _ in range(tensors):
                name, dimensions = _string(stream).decode(), _number(stream, "<I")
                shapes[name] = tuple(reversed([_number(stream, "<Q") for _ in range(dimensions)]))
                stream.seek(4 + 8, 1)  # how it is stored, and where
        except (struct.error, KeyError) as error:
            raise ValueError(f"no whole head of a GGUF file ({error!r})") from error
    return Head(values, shapes)


def file_type(path: Path) -> str:
    """Such as `Q4_1` or `F16`; `unknown` where the head does not say. Raises OSError."""
    import gguf

    with path.open("rb") as stream:
        try:
            number = _value(stream)
            name: str = gguf.LlamaFileType(number).name
            return name.removeprefix("MOSTLY_").removeprefix("ALL_")
        except (struct.error, ValueError, KeyError):
            return "unknown"


def _value(stream: BinaryIO) -> int:
    """The value of KEY. Raises struct.error at the end of the file, ValueError or KeyError for what is no such head."""
    _, count = _counts(stream)
    for _ in range(count):
        key, kind = _string(stream), _number(stream, "<I")
        if key == KEY.encode():
            return _number(stream, "<I")
        _skip(stream, kind)
    raise KeyError(KEY)


def _counts(stream: BinaryIO) -> tuple[int, int]:
    """How many tensors and how many values there are."""
    magic, version, tensors, count = struct.unpack("<4sIQQ", stream.read(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"no GGUF file of version 2 or 3 ({magic!r}, {version})")
    return tensors, count


def _skip(stream: BinaryIO, kind: int) -> None:
    if kind == STRING:
        _string(stream)
    elif kind == ARRAY:
        inner, count = _number(stream, "<I"), _number(stream, "<Q")
        if inner in SIZES:
            stream.seek(SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(stream, inner)
    else:
        stream.seek(SIZES[kind], 1)


def _string(stream: BinaryIO) -> bytes:
    length = _number(stream, "<Q")
    if length > 1 << 26:
        raise ValueError(length)
    return stream.read(length)


def _number(stream: BinaryIO, layout: str) -> int:
    return int(_unpacked(stream, layout))


def _unpacked(stream: BinaryIO, layout: str) -> int | float | bool:
    value: int | float | bool = struct.unpack(layout, stream.read(struct.calcsize(layout)))[0]
    return value
