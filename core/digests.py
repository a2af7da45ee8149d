"""Content digests: the same content has the same name, on every machine."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from .text import normalised

SHORT = 16
CHUNK = 1 << 20
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spare spaces; equal values give equal text."""
    return CANONICAL.encode(value)


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def quick_digest(value: Any) -> str:
    """`digest_of` in a fifth of the time; numbers with an exponent (1e-05) have another name here."""
    try:
        return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except TypeError:  # a number of more than 64 bits
        return digest_of(value)


def digest_of_folded(text: str) -> bytes:
    """8 bytes, equal for texts that are equal but for case and spacing: small where there are many of them.

    Among a million texts two differ and have the same once in 40 million times.
    """
    return hashlib.blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_files(root: Path, paths: Iterable[Path]) -> str:
    """One digest over several files of `root`: their relative names and contents, order-free."""
    named = {path.relative_to(root).as_posix(): digest_file(path) for path in paths}
    return digest_of(named)


def digest_folder(root: Path) -> str:
    """One digest over every file below `root`."""
    return digest_files(root, (path for path in root.rglob("*") if path.is_file()))
