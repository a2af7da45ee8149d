"""What each question wanted: by the word of users where there is one, else as the encoder sees it. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..people.nearest_mean import Array
from ..serving.exchange import Exchange
from .archive import Intent, Voiced
from .said import correction_in, label_in, opinion

NAME = 120  # characters of a question that name a cluster
MERGED = 400  # clusters that are remembered


class Asked(NamedTuple):
    """An exchange, and the text of its question."""

    exchange: Exchange
    text: str


def by_users(one: Voiced, labels: Sequence[str]) -> Intent | None:
    """The intent that a user told: the label of a correction, or the served one under a thumb up; None without."""
    served = label_in(one.exchange.reply, labels)
    if (right := label_in(correction_in(one) or "", labels)) is not None:
        return _intent(one.exchange, right, "correction", 1.0, served)
    if opinion(one) and served is not None and correction_in(one) is None:
        return _intent(one.exchange, served, "thumb", 1.0, served)
    return None


def by_encoder(asked: Sequence[Asked], probabilities: Array, labels: Sequence[str]) -> list[Intent]:
    """The likeliest label of each question with its probability, from `probabilities` (n, labels).

    `how` is `agreement` where that label was served, else `encoder`.
    """
    found = []
    for (exchange, _), told in zip(asked, probabilities, strict=True):
        top = int(told.argmax())
        served = label_in(exchange.reply, labels)
        how = "agreement" if served == labels[top] else "encoder"
        found.append(_intent(exchange, labels[top], how, float(told[top]), served))
    return found


def by_cluster(
    asked: Sequence[Asked],
    vectors: NDArray[np.float32],
    names: Sequence[str],
    centres: NDArray[np.float32],
    alike: float,
) -> list[Intent]:
    """Group questions of a task without labels: each goes to the nearest group, or begins one that bears its text.

    `vectors` (n, d) are unit rows of the questions, `centres` (m, d) those of the groups' names. A group is all that
    has a cosine of at least `alike` to its first question (leader clustering, Hartigan 1975, chapter 3): so groups
    keep their names from one collection to the next, and need nothing but these to be told again.
    """
    known, leaders = list(names), [*centres]
    found = []
    for (exchange, text), vector in zip(asked, vectors, strict=True):
        cosines = np.stack(leaders) @ vector if leaders else np.zeros(0, dtype=np.float32)
        at = int(cosines.argmax()) if len(leaders) else -1
        if at < 0 or float(cosines[at]) < alike:
            known.append(" ".join(text.split())[:NAME])
            leaders.append(vector)
            found.append(_intent(exchange, known[-1], "cluster", 1.0, None))
        else:
            found.append(_intent(exchange, known[at], "cluster", max(0.0, float(cosines[at])), None))
    return found


def unreadable(exchange: Exchange) -> Intent:
    """Of an exchange whose question cannot be told, so that it is not looked at again."""
    return Intent(exchange.id, exchange.loop, exchange.at, "", "unreadable", 0.0, None)


def _intent(exchange: Exchange, label: str, how: str, confidence: float, served: str | None) -> Intent:
    return Intent(exchange.id, exchange.loop, exchange.at, label, how, round(confidence, 4), served)
