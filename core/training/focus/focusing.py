"""Before a training: its samples measured where a setting asks for it, weighted or left out, and ordered."""

import gc
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from ...digests import SHORT
from ...models.store import ModelFiles
from ...quality.batch.weights import effective_rows
from ...samples import REHEARSAL, Sample
from ..settings import Training
from ..windows import lessons_of
from .emphasis import Emphasis, Measure
from .measuring import Heard, Lessons, Subject, measure
from .order import MIDDLE, Order, Shuffled
from .record import Emphasised, FocusRecord, Ordered
from .rows import Array, Rows, rank_correlation, weighed


@dataclass(frozen=True)
class Focused:
    """The samples to train on as they are to be weighted; the place of each from easy to hard; what was done."""

    samples: Sequence[Sample]
    difficulty: Sequence[float] = ()  # in (0, 1), of each sample; empty where no order asks for it
    record: FocusRecord | None = None  # None where nothing was asked for
    file: Path | None = field(default=None, compare=False)  # what was measured

    def of(self, samples: Collection[Sample]) -> "Focused":
        """The same for some of its samples."""
        chosen = set(map(id, samples))
        places = [place for place, one in enumerate(self.samples) if id(one) in chosen]
        difficulty = [self.difficulty[place] for place in places] if self.difficulty else ()
        return replace(self, samples=[self.samples[place] for place in places], difficulty=difficulty)

    def forget(self) -> None:
        """Delete what was measured, once the training that it was for is done."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def focus(
    samples: Sequence[Sample],
    base: ModelFiles,
    settings: Training,
    *,
    seed: int,
    champion: Path | None,
    folder: Path,
    heard: Heard,
) -> Focused:
    """`samples` as `settings.focus` and `settings.order` say; rehearsal stays as it is, at its place in the list.

    Where they ask what a model makes of them, that is the `champion`, a folder of PEFT's, or the base. It is measured
    once: a file in `folder`, named by all that it depends on, keeps what is found.

    Raises ModelError for a model that cannot be read, or a champion that does not fit the base.
    """
    if isinstance(settings.order, Shuffled) and not settings.focus:
        return Focused(samples)
    started = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    lessons = [lessons_of(one, tokenizer, settings) for one in samples]
    learnt = [at for at, one in enumerate(samples) if one.task != REHEARSAL and lessons[at]]
    if not learnt:
        return Focused(samples)
    subject = Subject([lessons[at] for at in learnt], base, champion, settings, seed)
    file = folder / f"measured-{subject.identity[:SHORT]}.json" if settings.measures else None
    measured = measure(subject, settings.measures, file, heard) if file else {}
    gc.collect()  # the network that was measured with holds itself in cycles
    rows = _rows([samples[at] for at in learnt], subject.lessons, measured)

    factors, emphases = _emphasised(rows, settings.focus)
    chosen = np.flatnonzero(factors)
    ordered, difficulty = _ordered(settings.order, rows.at(chosen))
    record = FocusRecord(
        measured_by="" if not file else "champion" if champion else "base",
        seconds=time.perf_counter() - started,
        emphases=emphases,
        order=ordered,
    )
    factor_of = dict(zip(learnt, factors.tolist(), strict=True))
    kept = [at for at in range(len(samples)) if factor_of.get(at, 1)]
    difficulty_of = dict(zip((learnt[place] for place in chosen), difficulty, strict=True)) if ordered else {}
    return Focused(
        samples=[weighed(samples[at], factor_of.get(at, 1.0)) for at in kept],
        difficulty=[difficulty_of.get(at, MIDDLE) for at in kept] if ordered else (),
        record=record,
        file=file,
    )


def _rows(samples: Sequence[Sample], lessons: Sequence[Lessons], measured: dict[Measure, Array]) -> Rows:
    unasked = np.full(len(samples), np.nan)
    tokens = np.array([max(len(one) for one in own) for own in lessons], dtype=np.float64)
    loss, entropy, error, gradient = (
        _known(measured.get(name, unasked)) for name in ("loss", "entropy", "error", "gradient")
    )
    return Rows(samples, tokens, loss, entropy, error, gradient)


def _known(values: Array) -> Array:
    """Numbers that are none, such as the loss of a model that overflows, are unknown."""
    return np.where(np.isfinite(values), values, np.nan)


def _emphasised(rows: Rows, emphases: Sequence[Emphasis]) -> tuple[Array, tuple[Emphasised, ...]]:
    """The factor on the weight of each row, (n,), 0 for those that are left out, and what each entry did."""
    factors = np.ones(len(rows))
    told = []
    for emphasis in emphases:
        chosen = np.flatnonzero(factors)
        left = rows.at(chosen).weighing(factors[chosen])
        own = emphasis(left)
        stays = own > 0
        told.append(
            Emphasised(
                kind=emphasis.kind,
                rows=len(left),
                chosen=int(stays.sum()),
                smallest=float(own[stays].min()),
                largest=float(own[stays].max()),
                effective_rows=effective_rows(own[stays]),
                unknown=emphasis.unknown(left),
                loss_correlation=rank_correlation(own, left.loss),
            )
        )
        factors[chosen] *= own
    return factors, tuple(told)


def _ordered(order: Order, rows: Rows) -> tuple[Ordered | None, list[float]]:
    """What the order goes by, and the difficulty of each row; nothing where it goes by none."""
    if isinstance(order, Shuffled):
        return None, []
    values, places = order.values(rows), order.places(rows)
    told = Ordered(
        kind=order.kind,
        difficulty=order.difficulty,
        rows=len(rows),
        unknown=int(np.isnan(values).sum()),
        length_correlation=rank_correlation(places, rows.tokens),
        loss_correlation=rank_correlation(places, rows.loss),
    )
    return told, places.tolist()
