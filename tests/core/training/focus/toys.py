"""Rows for focus and order, without a model."""

from typing import Any

import numpy as np
from wheelwork.core.samples import Message, Sample
from wheelwork.core.training.focus.rows import Array, Rows


def labelled(label: str | None = "wifi", text: str = "hello", **rest: Any) -> Sample:
    turns = [Message(role="user", content=text), Message(role="assistant", content=label or "yes")]
    return Sample.make(turns, task="classify", label=label, **{"origin": "teacher", **rest})


def rows(samples: list[Sample], **known: list[float]) -> Rows:
    """`samples` with the numbers that are `known`."""
    nothing = [np.nan] * len(samples)

    def column(name: str) -> Array:
        return np.array(known.get(name, nothing), dtype=np.float64)

    return Rows(samples, column("tokens"), column("loss"), column("entropy"), column("error"), column("gradient"))
