"""Unlabelled texts of the traffic, with what the loop's labelled rows say about each."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..digests import digest_of_folded
from ..errors import ConfigError
from ..loops import Loop
from ..models.encoder import Encode
from ..naming import CONFIG
from ..pool.replay import BY_PEOPLE
from ..pool.store import Pool
from ..pool.versions import View
from ..quality.files.source import SourceFile
from ..quality.verdicts import Unreadable
from ..text import normalised
from .nearest_mean import Array, NearestMean, fit_nearest_mean

PER_LABEL = 200  # rows of the pool for each label, the newest: more move a mean no further
PSEUDO = "pseudo"


class Told(NamedTuple):
    """Texts that nobody labelled yet, their unit vectors, and the probability of each label."""

    texts: list[str]
    vectors: NDArray[np.float32]  # (n, d)
    probabilities: Array  # (n, labels)


class Traffic:
    """A file of texts, read once, in batches.

    Of equal texts the first counts; what the loop trains on or measures on already is passed over. `counts` says how
    many were, by reason. Labels that the file has are not looked at.
    """

    def __init__(self, path: Path, loop: Loop, view: View, pool: Pool) -> None:
        self._file = SourceFile(path)
        self._known = dict.fromkeys(map(digest_of_folded, loop.present.held_out), "held out")
        self._known |= dict.fromkeys(
            (digest_of_folded(sample.prompt) for sample in pool.samples(view.accepted)), "labelled"
        )
        self._known |= dict.fromkeys((digest_of_folded(seed.text) for seed in loop.seeds), "labelled")
        self.counts: Counter[str] = Counter()

    def told_by(self, model: NearestMean, embed: Encode) -> Iterator[Told]:
        """Batches of texts with what `model` says about each; `counts` is whole when they end."""
        for batch in self._file:
            texts = []
            for sample in batch.samples(range(len(batch))):
                self.counts["read"] += 1
                reason = "not readable" if isinstance(sample, Unreadable) else self._passed_over(sample.prompt)
                if reason:
                    self.counts[reason] += 1
                elif not isinstance(sample, Unreadable):
                    texts.append(sample.prompt)
            if texts:
                vectors = embed(texts)
                yield Told(texts, vectors, model.probabilities(vectors))

    def _passed_over(self, text: str) -> str | None:
        if not normalised(text):
            return "empty"
        key = digest_of_folded(text)
        reason = self._known.get(key)
        self._known.setdefault(key, "said before")
        return reason


def require_labels(loop: Loop) -> None:
    """Raises ConfigError for a loop whose task has no labels."""
    if not loop.labels:
        raise ConfigError(f"{loop.folder / CONFIG}: its task has no labels, so there are none to ask for or to guess")


def model_of(loop: Loop, view: View, pool: Pool, embed: Encode) -> NearestMean:
    """The classifier of a loop's labelled rows: its seeds, and what its pool accepted but for pseudo-labels."""
    counts = Counter[str]()
    entries = []
    for entry in reversed(view.accepted):
        if entry.origin != PSEUDO and entry.category in loop.labels and counts[entry.category] < PER_LABEL:
            counts[entry.category] += 1
            entries.append(entry)
    rows = [(seed.text, seed.label or "", True) for seed in loop.seeds]
    rows += [(one.prompt, one.label or "", one.origin in BY_PEOPLE) for one in pool.samples(entries)]
    texts, labels, vouched = zip(*rows, strict=True)
    return fit_nearest_mean(embed(texts), labels, vouched)
