"""What filters look at besides their batch, and what they answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..models.encoder import Encode
from ..samples import Sample
from .known import Text, placed
from .parts import Part, texts_of
from .review.asking import Review
from .scores.models import Models
from .thresholds import FEWEST, Auto, Calibration, Limit, Tail

Array = NDArray[np.float32]

Need = Literal["seeds", "encoder", "review", "pool", "threshold", "models"]
"""What of the context a filter cannot do without; it says so in its attribute `needs`."""

REMEMBERED = 20_000  # embeddings, 30 MB of 384 dimensions: those of the seeds and of the last batches


class FunnelContext:
    """What filters look at besides the batch: seeds as (text, label), held-out texts, embeddings, reviewers, models.

    `encode`, `review` and `models` may be None where no filter needs them. `pool` are texts that were accepted before;
    `seed_places` says where each seed stands; `calibration` is what is known of the encoder's cosines.
    """

    def __init__(
        self,
        encode: Encode | None,
        seeds: Sequence[tuple[str, str]] = (),
        held_out: Sequence[str | Text] = (),
        review: Review | None = None,
        models: Models | None = None,
        *,
        pool: Sequence[Text] = (),
        seed_places: Sequence[str] = (),
        calibration: Calibration | None = None,
    ) -> None:
        self.seeds = seeds
        places = seed_places or [f"seed {number}" for number in range(1, len(seeds) + 1)]
        self.seed_rows = [Text(text, place) for (text, _), place in zip(seeds, places, strict=True)]
        self.held_out_rows = placed(held_out, "held-out row")
        self.held_out = [row.text for row in self.held_out_rows]
        self.pool = pool
        self.publishing: dict[Path, Callable[[Path], None]] = {}
        """What filters want written, file by file, when the results of this run are: each is given where to write."""
        self._calibration = calibration
        self._review = review
        self._models = models
        self._encode = encode
        self._known: dict[str, Array] = {}
        self._vectors: dict[int, Array] = {}

    def embed(self, texts: Sequence[str]) -> Array:
        """Unit rows (n, d) for `texts`; a text that several filters ask for is encoded once.

        The embeddings that were asked for last are remembered, so that memory does not grow with the rows.
        """
        asked = dict.fromkeys(texts)
        found = {text: self._known.pop(text) for text in asked if text in self._known}
        if fresh := [text for text in asked if text not in found]:
            if self._encode is None:
                raise TypeError("this context has no encoder")
            found.update(zip(fresh, self._encode(fresh), strict=True))
        self._known.update(found)
        for text in list(islice(self._known, max(0, len(self._known) - REMEMBERED))):
            del self._known[text]
        return np.stack([found[text] for text in texts])

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder."""
        return self._encode is not None

    def remembered(self, text: str) -> Array | None:
        """The embedding of `text` (d,) if it was asked for and is not forgotten; it is not encoded now."""
        return self._known.get(text)

    def known(self, pool: bool) -> tuple[Sequence[Text], Sequence[Text], Sequence[Text]]:
        """What samples may not repeat: held-out rows, seeds, and with `pool` what the pool holds."""
        return self.held_out_rows, self.seed_rows, self.pool if pool else ()

    def vectors(self, rows: Sequence[Text]) -> Array:
        """Unit rows (n, d) of the seeds, the held-out rows or the pool, which are encoded once."""
        if id(rows) not in self._vectors:
            texts = [row.text for row in rows]
            self._vectors[id(rows)] = self.embed(texts) if texts else np.zeros((0, 1), dtype=np.float32)
        return self._vectors[id(rows)]

    def limit(self, asked: float | Auto, compared: int, false_positives: float) -> Limit:
        """The cosine that `asked` stands for, where each row is compared with `compared` others.

        Raises ConfigError for `auto` where neither a calibration nor the seeds tell.
        """
        if asked != "auto":
            return Limit(asked, "")
        if self._calibration is not None:
            return self._calibration.limit(compared, false_positives)
        if (tail := Tail.of(self.vectors(self.seed_rows))) is not None:
            return tail.limit(compared, false_positives, f"the {len(self.seeds)} seeds")
        raise ConfigError(no_threshold(len(self.seeds)))

    def texts_only(self) -> "FunnelContext":
        """The same without models, light enough to be sent to another process."""
        places = [row.place for row in self.seed_rows]
        return FunnelContext(None, self.seeds, self.held_out_rows, pool=self.pool, seed_places=places)

    @property
    def review(self) -> Review:
        """The teachers that judge and verify. Raises ConfigError where there are none."""
        if self._review is None:
            raise ConfigError(
                "a filter of the funnel asks a judge or verifier, and there is nobody to ask here; "
                "run it in a loop whose teachers have these roles, or leave the filter out"
            )
        return self._review

    @property
    def models(self) -> Models:
        """The models that filters score with. Raises TypeError where there are none."""
        if self._models is None:
            raise TypeError("this context has no models")
        return self._models

    @property
    def encoding(self) -> str:
        """Names the embeddings: equal names, equal rows for the same text."""
        if self._encode is None:
            raise TypeError("this context has no encoder")
        return self._encode.fingerprint


@dataclass(frozen=True)
class Judgements:
    """One reason or None for each row of a batch, scores by name, and what a row becomes where it is changed.

    A score is None for a row on which it could not be measured; that row gets none. `like` says what a dropped row is
    like: another of the rows judged, by its number, or a known text, by its place. `figures` and `notes` are about all
    rows that the filter has seen in this run, as the report shows them. A filter that may run in several processes
    gives `seen` instead, what it knows of this batch: these are added up with `+`, and its method `summary(seen)` makes
    figures and notes of the sum.
    """

    reasons: list[str | None]
    scores: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    changed: dict[int, Sample] = field(default_factory=dict)
    like: Mapping[int, int | str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seen: Any = None

    def scores_of(self, row: int) -> dict[str, float]:
        """The scores that could be measured on one row."""
        return {name: value for name, values in self.scores.items() if (value := values[row]) is not None}

    @classmethod
    def by_text(
        cls, batch: Sequence[Sample], parts: Sequence[Part], judge: Callable[[str], str | None]
    ) -> "Judgements":
        """The reason of the first text among `parts` of each sample that `judge` has one for."""
        return cls([next(filter(None, map(judge, texts_of(sample, parts))), None) for sample in batch])


def threshold_needs(asked: float | Auto) -> tuple[Need, ...]:
    """What a filter with this threshold cannot do without."""
    return ("threshold",) if asked == "auto" else ()


def pool_needs(asked: bool) -> tuple[Need, ...]:
    """What a filter that compares with the pool, or does not, cannot do without."""
    return ("pool",) if asked else ()


def no_threshold(seeds: int) -> str:
    """Why `auto` cannot be told, and the remedy."""
    return (
        f"`auto` is told from a calibration of the encoder, and there is none, or from {FEWEST} seeds, and there are "
        f"{seeds}; run `wheelwork calibrate FILE`, or write the threshold as a number"
    )
