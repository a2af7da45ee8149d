"""Draws that depend on a seed and the ids alone: without replacement, the better ones likelier."""

from collections.abc import Mapping
from math import log

from .digests import digest_of

LOWEST, HIGHEST = 0.5, 1.5  # how much likelier a score makes a sample: three times at most


def favour(scores: Mapping[str, float]) -> dict[str, float]:
    """Weights from LOWEST for the lowest score to HIGHEST for the highest, by rank: any scale and outliers will do."""
    values = sorted(set(scores.values()))
    if len(values) < 2:
        return {}
    place = {value: LOWEST + (HIGHEST - LOWEST) * rank / (len(values) - 1) for rank, value in enumerate(values)}
    return {id: place[value] for id, value in scores.items()}


def sort_key(seed: int, id: str, weight: float) -> float:
    """Of these keys the smallest are a draw without replacement with `weight` (Efraimidis & Spirakis 2006)."""
    return -log(_uniform(seed, id)) / max(weight, 1e-300)


def _uniform(seed: int, id: str) -> float:
    """A number in (0, 1) that depends on seed and id alone."""
    return (int(digest_of([seed, id])[:13], 16) + 0.5) / 16**13
