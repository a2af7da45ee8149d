"""Texts seen before, in this run or an earlier one: a stream of files without end in a few bytes a row."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field

from ..errors import ConfigError
from ..samples import Sample
from ..settings import Setting
from ..workspace import locked
from .alike import Likes, kept_of_each
from .bloom import Bloom
from .context import FunnelContext, Judgements
from .duplicates import hashes_of
from .shingles import Hashes, Ints
from .sketches import Heard, unheard


@dataclass(frozen=True)
class Prints:
    """What is kept of a batch: a hash of each folded text."""

    hashes: Hashes

    def take(self, rows: Ints) -> Self:
        """Only `rows`, in their order."""
        return type(self)(self.hashes[rows])


class SeenBefore(Setting):
    """Drop a text that came before, in this file or in one that was filtered earlier, but for case and spacing.

    What was seen is kept in a Bloom filter, in `file`: no text that was seen passes, and of new ones a share of at most
    `error` is dropped as long as the file holds no more than `capacity`. What comes as far as this filter counts as
    seen, also where a later filter drops it. The file is written when the results are.
    """

    kind: Literal["bloom"] = "bloom"
    file: str = Field(min_length=1, description="the file that remembers, from the working directory; made where new")
    capacity: int = Field(10_000_000, ge=1, le=10**9, description="texts that the file is to hold: 2.4 bytes each")
    error: float = Field(1e-4, ge=1e-12, le=0.5, description="largest share of new texts that is dropped as seen")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return self.decide([self.gather(batch, context)], context)

    def gather(self, batch: Sequence[Sample], context: FunnelContext) -> Prints:
        return Prints(hashes_of(sample.prompt for sample in batch))

    def decide(self, batches: Sequence[Prints], context: FunnelContext, heard: Heard = unheard) -> Judgements:
        hashes, bloom = np.concatenate([batch.hashes for batch in batches]), self.opened()
        likes = Likes(len(hashes))
        rows = np.arange(len(hashes))
        before = bloom.holds(hashes)
        likes.drop("seen_before", rows[before])
        left = rows[~before]
        kept = left[kept_of_each(hashes[left], np.zeros(len(left)))]
        likes.among("seen_before", left, kept)
        bloom.add(hashes[left[left == kept]])
        context.publishing[Path(self.file)] = bloom.write
        figures = {"held": float(bloom.held), "capacity": float(bloom.capacity), "error": bloom.false_positives}
        return likes.judgements(figures=figures, notes=self._told(bloom))

    def opened(self) -> Bloom:
        """What is remembered so far. Raises ConfigError for a file that was made with other settings."""
        if not Path(self.file).exists():
            return Bloom(self.capacity, self.error)
        bloom = Bloom.read(Path(self.file))
        if (bloom.capacity, bloom.error) != (self.capacity, self.error):
            raise ConfigError(
                f"{self.file}: this was made for a capacity of {bloom.capacity} and an error of {bloom.error:g}, which "
                "cannot be changed; write these into the filter `bloom`, or give another file"
            )
        return bloom

    def _told(self, bloom: Bloom) -> tuple[str, ...]:
        if bloom.held <= bloom.capacity:
            return ()
        return (
            f"bloom: {self.file} holds {bloom.held:,} texts and was made for {bloom.capacity:,}; by now it takes "
            f"{bloom.false_positives:.2g} of the new ones for seen, so begin a larger file.",
        )


@contextmanager
def alone_with(files: Sequence[Path]) -> Iterator[None]:
    """No other run changes `files` meanwhile; there is a lock beside each.

    Raises BusyError where one does already.
    """
    with ExitStack() as stack:
        for path in sorted({file.resolve() for file in files}):
            busy = f"{path}: another run is filtering with this file; wait for it"
            stack.enter_context(locked(path.with_name(f".{path.name}.lock"), busy))
        yield
