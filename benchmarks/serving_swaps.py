"""What was heard during swaps: which reply is of two versions, how long a swap takes, what it costs."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from .results import Figure
from .serving_command import Look
from .serving_load import Reply, percentile
from .serving_versions import label_of

SYSTEM = "gateway"


class Swap(NamedTuple):
    """A version: when it was promoted, when its engine was first seen, when its first answer came (or infinity)."""

    version: str
    promoted: float
    engine: float | None
    first: float


class Faults(NamedTuple):
    """How many replies were not as they should be."""

    failed: int
    mixed: int
    late: int


def said(reply: Reply) -> tuple[str, str]:
    """The version that a reply names, and its text; both empty for one that failed."""
    if reply.status != 200:
        return "", ""
    told = orjson.loads(reply.body)
    return str(told["model"]).rpartition("@")[2].removeprefix("v"), str(
        told["choices"][0]["message"]["content"]
    ).strip()


def faults(labels: Sequence[str], heard: Sequence[Reply], swaps: Sequence[Swap]) -> Faults:
    """Replies that failed, whose text is not their version's, or of an old version though the new one had answered."""
    failed = mixed = late = 0
    for reply in heard:
        version, text = said(reply)
        if not version:
            failed += 1
        elif not version.isdigit() or text != label_of(labels, version):
            mixed += 1
        else:
            asked = reply.at - reply.seconds
            late += any(swap.first < asked and int(version) < int(swap.version) for swap in swaps)
    return Faults(failed, mixed, late)


def parted(heard: Sequence[Reply], swaps: Sequence[Swap]) -> tuple[list[float], list[float]]:
    """Seconds of the replies that were under way during a swap, from promotion to first answer, and of all others."""
    during, between = list[float](), list[float]()
    for reply in heard:
        asked = reply.at - reply.seconds
        swapping = any(asked < swap.first and swap.promoted < reply.at for swap in swaps)
        (during if swapping else between).append(reply.seconds)
    return during, between


def swap_figures(
    case: str, labels: Sequence[str], heard: Sequence[Reply], swaps: Sequence[Swap], looks: Sequence[Look]
) -> list[Figure]:
    """Everything that was measured during swaps."""
    found = faults(labels, heard, swaps)
    waits = [swap.first - swap.promoted for swap in swaps]
    noticed = [(swap.engine or float("inf")) - swap.promoted for swap in swaps]
    loaded = [swap.first - (swap.engine or float("-inf")) for swap in swaps]
    during, between = parted(heard, swaps)
    alone = [look.held for look in looks if len(look.engines) == 1]
    figures = [
        Figure(case, SYSTEM, "answers", len(heard) - found.failed, "requests"),
        Figure(case, SYSTEM, "failed", found.failed, "requests"),
        Figure(case, SYSTEM, "of two versions", found.mixed, "requests"),
        Figure(case, SYSTEM, "of an old version, asked after the new one answered", found.late, "requests"),
    ]
    for metric, values in (
        ("promotion to the process of the new engine", noticed),
        ("process of the new engine to its first answer", loaded),
        ("promotion to the first answer of the new version", waits),
    ):
        figures.append(Figure(case, SYSTEM, f"{metric}, median", percentile(values, 0.5), "s"))
        figures.append(Figure(case, SYSTEM, f"{metric}, longest", max(values), "s"))
    for when, values in (("between swaps", between), ("during swaps", during)):
        for metric, at in (("p50", 0.5), ("p99", 0.99)):
            figures.append(Figure(case, SYSTEM, f"{metric} {when}", percentile(values, at) * 1000, "ms"))
    return [
        *figures,
        Figure(case, SYSTEM, "engines at once, most", max(len(look.engines) for look in looks), "engines"),
        Figure(case, SYSTEM, "memory with one engine, median", percentile(alone, 0.5) / 2**20, "MB"),
        Figure(case, SYSTEM, "memory, most", max(look.held for look in looks) / 2**20, "MB"),
    ]
