"""A Bloom filter: a set of texts in a few bits each, that forgets none and now and then takes a new one for known.

Bloom 1970, "Space/time trade-offs in hash coding with allowable errors". For a capacity n and an error p it has
m = −n ln p / (ln 2)² bits, of which each text sets k = (m/n) ln 2. The k places come from two hashes as h₁ + i·h₂
(Kirsch & Mitzenmacher 2006, "Less hashing, same performance").
"""

import json
from hashlib import sha256
from math import ceil, log
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ..errors import DataError
from ..settings import Setting
from .shingles import Hashes, mixed

HASHES_AT_ONCE = 1 << 16
EIGHTH, LOW = np.uint64(3), np.uint64(7)


class Header(Setting):
    """The first line of the file; the bits follow."""

    format: str = Field("wheelwork bloom 1", pattern="^wheelwork bloom 1$")
    capacity: int = Field(ge=1)
    error: float = Field(gt=0, lt=1)
    held: int = Field(ge=0)
    sha256: str


class Bloom:
    """A Bloom filter for `capacity` hashes, of which at most the share `error` of others is taken for known."""

    def __init__(self, capacity: int, error: float) -> None:
        self.capacity, self.error, self.held = capacity, error, 0
        self._places = max(8, ceil(-capacity * log(error) / log(2) ** 2))
        self.hashes = max(1, round(self._places / capacity * log(2)))
        self._bits = np.zeros(-(-self._places // 8), dtype=np.uint8)

    def __contains__(self, value: int) -> bool:
        return bool(self.holds(np.array([value], dtype=np.uint64))[0])

    def holds(self, values: Hashes) -> NDArray[np.bool_]:
        """Whether each of `values` (n,), hashes of 64 bits, was added before; never false of one that was."""
        known = np.ones(len(values), dtype=bool)
        for start in range(0, len(values), HASHES_AT_ONCE):
            part = slice(start, start + HASHES_AT_ONCE)
            for byte, bit in self._where(values[part]):
                known[part] &= (self._bits[byte] & bit) != 0
        return known

    def add(self, values: Hashes) -> None:
        """Take in `values`, hashes of 64 bits that are distinct and not held yet."""
        for start in range(0, len(values), HASHES_AT_ONCE):
            for byte, bit in self._where(values[start : start + HASHES_AT_ONCE]):
                np.bitwise_or.at(self._bits, byte, bit)
        self.held += len(values)

    @property
    def false_positives(self) -> float:
        """The share of new hashes that it takes for known now: that of the bits that are set, to the power of k."""
        return float((int(np.bitwise_count(self._bits).sum(dtype=np.int64)) / self._places) ** self.hashes)

    def _where(self, values: Hashes) -> list[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Byte and bit of each place of each value, place by place."""
        step, found = mixed(values) | np.uint64(1), []
        for number in range(self.hashes):
            place = (values + np.uint64(number) * step) % np.uint64(self._places)
            found.append(((place >> EIGHTH).astype(np.int64), (np.uint64(1) << (place & LOW)).astype(np.uint8)))
        return found

    def write(self, path: Path) -> None:
        """Write it to `path`, which nobody reads yet."""
        bits = self._bits.tobytes()
        header = Header(capacity=self.capacity, error=self.error, held=self.held, sha256=sha256(bits).hexdigest())
        with path.open("wb") as stream:
            stream.write(header.model_dump_json().encode() + b"\n")
            stream.write(bits)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The filter in a file. Raises DataError for one that is none, or damaged."""
        try:
            with path.open("rb") as stream:
                header = Header.model_validate(json.loads(stream.readline(4096)))
                bits = stream.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); check what it is and its rights") from None
        except (ValidationError, ValueError):
            raise DataError(f"{path}: this is no file of texts seen before; give another name") from None
        made = cls(header.capacity, header.error)
        if len(bits) != len(made._bits) or sha256(bits).hexdigest() != header.sha256:
            raise DataError(f"{path}: this file of texts seen before is damaged; take a copy, or begin a new one")
        made._bits, made.held = np.frombuffer(bits, dtype=np.uint8).copy(), header.held
        return made
