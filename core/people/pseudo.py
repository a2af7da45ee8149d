"""Pseudo-labels: texts of the traffic that get the label of which the classifier is all but sure (Lee 2013)."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..generation.example import Example
from ..loops import Loop
from ..pool.log import Line
from ..pool.store import Pool
from ..pool.versions import Added, Version, View
from ..rows import Row
from ..samples import Sample
from .queue import question
from .traffic import PSEUDO, Told

SCORE = "probability"
HEAVIEST = 0.99  # nobody looked at it: it never counts as much as what somebody vouches for


class Pseudo(NamedTuple):
    """The samples that got a label, the surest first within a label, and how many texts did not, by reason."""

    samples: list[Sample]
    counts: Counter[str]


def pseudo_labels(
    told: Iterable[Told], loop: Loop, view: View, threshold: float, per_label: int, source: str
) -> Pseudo:
    """Label what is at least `threshold` likely, `per_label` of each label at most.

    A sample weighs its probability, at most HEAVIEST. What is nearly a held-out text, a seed or another one of them is
    left out, as is what people excluded.
    """
    labels = sorted(loop.labels)
    sure: dict[int, list[tuple[float, int, str]]] = defaultdict(list)
    counts, seen = Counter[str](), 0
    for batch in told:
        tops = batch.probabilities.argmax(axis=1)
        for place, (text, top) in enumerate(zip(batch.texts, tops, strict=True)):
            probability = float(batch.probabilities[place, top])
            if probability < threshold:
                counts["not sure enough"] += 1
            else:
                sure[int(top)].append((-probability, seen + place, text))
        seen += len(batch.texts)
        for top, ones in sure.items():
            counts["above the cap"] += max(0, len(ones) - per_label)
            sure[top] = sorted(ones)[:per_label]
    made = [_sample(loop, text, labels[top], -p, source) for top in sorted(sure) for p, _, text in sure[top]]
    kept = []
    for sample, fit in zip(made, loop.present.fit(made), strict=True):
        if isinstance(fit, str):
            counts[fit.replace("_", " ")] += 1
        elif sample.id in view.excluded:
            counts["excluded"] += 1
        else:
            kept.append(sample)
    return Pseudo(kept, +counts)


def accept_pseudo(pool: Pool, samples: list[Sample], why: str) -> Line | None:
    """Take `samples` into the pool as accepted ones; None where it has them all."""
    file = pool.store.write_samples(samples)
    return pool.review(Version(added=(Added(digest=file.digest, rows=file.rows),)), why) if samples else None


def pseudo_row(sample: Sample) -> Row:
    """A sample as a row of a file: what `wheelwork filter` and `init --from` read, and how sure the label is."""
    probability = sample.scores[SCORE]
    told = {"label": sample.label, "weight": round(sample.weight, 4), "origin": sample.origin}
    return question(sample.prompt, str(sample.label), probability) | told


def _sample(loop: Loop, text: str, label: str, probability: float, source: str) -> Sample:
    example = Example(text=text, answer=label, label=label, category=label)
    return loop.material.writing.sample(
        example,
        origin=PSEUDO,
        source=source,
        scores={SCORE: probability},
        weight=float(np.clip(probability, 0.01, HEAVIEST)),
    )
