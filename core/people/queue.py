"""What to label next: the texts of the traffic on which the labelled rows tell least, no two of them alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..digests import SHORT, digest_of
from ..rows import Row
from .nearest_mean import Array
from .traffic import Told

By = Literal["entropy", "margin"]
LOOKED_AT = 40  # texts that are remembered for each one wanted: what else is there when some are alike


@dataclass
class Queue:
    """The most uncertain texts, the first asked first."""

    rows: list[Row] = field(default_factory=list)
    alike: int = 0  # texts that were passed over, as one nearly like them is asked already


def uncertainty(probabilities: Array, by: By) -> Array:
    """How little is told about each row (n, labels), in [0, 1]: 1 when nothing is.

    `entropy`: −Σ p log p / log labels. `margin`: 1 − (p₁ − p₂), of the two likeliest (Settles 2009, "Active learning
    literature survey", section 3.1).
    """
    if by == "margin":
        ordered = np.sort(probabilities, axis=1)
        told: Array = 1 - (ordered[:, -1] - ordered[:, -2])
        return told
    terms = np.where(probabilities > 0, probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0)), 0.0)
    entropy: Array = np.clip(-terms.sum(axis=1) / np.log(probabilities.shape[1]), 0.0, 1.0)
    return entropy


def queue_of(told: Iterable[Told], labels: Sequence[str], count: int, by: By, max_cosine: float) -> Queue:
    """The `count` most uncertain texts, of which no two have a cosine above `max_cosine`; fewer if there are fewer.

    Memory holds LOOKED_AT texts for each one wanted, however many there are.
    """
    room = LOOKED_AT * count
    best: list[tuple[float, int, str, Array, NDArray[np.float32]]] = []
    seen = 0
    for batch in told:
        unsure = uncertainty(batch.probabilities, by)
        for place, text in enumerate(batch.texts):
            best.append((-float(unsure[place]), seen + place, text, batch.probabilities[place], batch.vectors[place]))
        seen += len(batch.texts)
        best = sorted(best, key=lambda one: one[:2])[:room]
    queue, taken = Queue(), list[NDArray[np.float32]]()
    for unsure_of, _, text, probabilities, vector in best:
        if len(taken) == count:
            break
        if taken and float((np.stack(taken) @ vector).max()) > max_cosine:
            queue.alike += 1
            continue
        taken.append(vector)
        place = int(probabilities.argmax())
        queue.rows.append(question(text, labels[place], float(probabilities[place]), -unsure_of))
    return queue


def question(text: str, label: str, probability: float, unsure: float | None = None) -> Row:
    """One text as people see it, with the label that is likeliest so far."""
    row: Row = {
        "id": digest_of(["text", text])[:SHORT],
        "text": text,
        "suggested": label,
        "probability": round(probability, 4),
    }
    return row if unsure is None else row | {"uncertainty": round(unsure, 4)}
