"""What others do with the same requests: a z-test that is looked at after every request, and one look at the end."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .canary_worlds import Crowd, Floats, World

LEVEL_Z = 1.644_853_627  # one-sided 5%
FEWEST = 20  # outcomes of the candidate before a z-test is looked at


class Peers(NamedTuple):
    """After how many requests each rule says "harm"; 0 for never. Every request counts, all kinds are looked at."""

    repeated: int
    spread: int
    """As `repeated`, with the 5% divided among the kinds."""
    fixed: int


def peers(world: World, share: float, horizon: int, random: np.random.Generator) -> Peers:
    """What they say of a candidate that has `share` of the requests, of which there are `horizon`.

    The fixed test divides its 5% among the kinds, and is looked at once, at the horizon.
    """
    requests = Crowd(world, random).more(horizon)
    candidate = requests.place < share
    arm, rows = candidate.astype(np.int64), np.arange(horizon)
    kinds = [
        (rows, requests.failed[rows, arm].astype(float)),
        (rows, np.log(requests.latency[rows, arm])),
        (np.flatnonzero(requests.spoke), requests.displeased[rows, arm][requests.spoke].astype(float)),
        (np.flatnonzero(requests.coin < 0.1), 1 - requests.judged[rows, arm][requests.coin < 0.1]),
    ]
    from scipy.stats import norm

    parted = float(norm.isf(0.05 / len(kinds)))
    paths = [(at, _z(candidate[at], bad)) for at, bad in kinds]
    fixed = horizon if any(len(z) and z[-1] >= parted for _, z in paths) else 0
    return Peers(_earliest(paths, LEVEL_Z), _earliest(paths, parted), fixed)


def _z(candidate: NDArray[np.bool_], bad: Floats) -> Floats:
    """z of "the candidate is worse" after each outcome, by the variances of both arms; −∞ while either has too few."""
    ones = candidate.astype(float)
    sums = []
    for weight in (1 - ones, ones):
        n, total, squares = np.cumsum(weight), np.cumsum(weight * bad), np.cumsum(weight * bad * bad)
        mean = total / np.maximum(n, 1)
        sums.append((n, mean, np.maximum(squares / np.maximum(n, 1) - mean * mean, 0)))
    (n0, mean0, var0), (n1, mean1, var1) = sums
    error = np.sqrt(var0 / np.maximum(n0, 1) + var1 / np.maximum(n1, 1))
    z = np.where(error > 0, (mean1 - mean0) / np.where(error > 0, error, 1), -np.inf)
    found: Floats = np.where((n1 >= FEWEST) & (n0 >= FEWEST), z, -np.inf)
    return found


def _earliest(paths: list[tuple[NDArray[np.int64], Floats]], bar: float) -> int:
    crossed = [int(at[np.argmax(z >= bar)]) + 1 for at, z in paths if len(z) and (z >= bar).any()]
    return min(crossed, default=0)
