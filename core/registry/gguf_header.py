"""How the weights in a GGUF file are stored, from its head alone: the library's reader takes seconds for the tokens.

Layout: the GGUF specification, version 2 and 3 (little-endian).
"""

import struct
from pathlib import Path
from typing import BinaryIO

KEY = "general.file_type"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # value type → bytes
STRING, ARRAY = 8, 9


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
    magic, version, _, count = struct.unpack("<4sIQQ", stream.read(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(magic)
    for _ in range(count):
        key, kind = _string(stream), _number(stream, "<I")
        if key == KEY.encode():
            return _number(stream, "<I")
        _skip(stream, kind)
    raise KeyError(KEY)


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
    return int(struct.unpack(layout, stream.read(struct.calcsize(layout)))[0])
