"""Samples that people keep out for ever, as a filter beside the funnel."""

from collections.abc import Collection, Iterable

from ..quality.funnel import FilterCount
from ..samples import Sample

REASON = "excluded"


class Exclusion:
    """Drops what has one of `ids`, and remembers what it dropped."""

    def __init__(self, ids: Collection[str]) -> None:
        self._ids = frozenset(ids)
        self._rows_in = 0
        self.dropped: list[Sample] = []

    def drop(self, samples: Iterable[Sample]) -> list[Sample]:
        """`samples` without the excluded ones; those that were dropped before keep their reason."""
        kept = []
        for sample in samples:
            self._rows_in += 1
            if sample.id in self._ids and sample.reject_reason is None:
                self.dropped.append(sample.rejected(REASON))
            else:
                kept.append(sample)
        return kept

    @property
    def counts(self) -> list[FilterCount]:
        """What it did, as a filter of the funnel tells it; nothing where nothing is excluded."""
        if not self.dropped:
            return []
        dropped = len(self.dropped)
        return [
            FilterCount(
                filter=REASON,
                rows_in=self._rows_in,
                rows_out=self._rows_in - dropped,
                dropped={REASON: dropped},
                seconds=0.0,
            )
        ]
