"""Users that are simulated, and what they meet under either version: requests as arrays, drawn as they come."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
CHUNK = 4096  # requests at a time


class World(NamedTuple):
    """What users meet with the stable version, how the candidate differs, and how much users differ among themselves.

    `users` 0: every request is of nobody, drawn alike. Else that many users, of whom a few ask most (Zipf), each with
    failures, displeasure and a pace of their own.
    """

    name: str
    errors: tuple[float, float] = (0.01, 0.01)
    displeased: tuple[float, float] = (0.2, 0.2)
    slower: float = 1.0
    judge: tuple[float, float] = (0.8, 0.8)
    feedback: float = 0.15
    users: int = 0

    @property
    def harmful(self) -> bool:
        return self.slower > 1 or any(worse != before for before, worse in (self.errors, self.displeased, self.judge))


SPREAD = 4.0  # a user's own rate is Beta with this many pseudo-counts: 0.2 ± 0.18


@dataclass
class Requests:
    """A chunk of requests as they would turn out under either version; columns (n,), or (n, 2) by version."""

    who: Ints
    place: Floats
    failed: Flags
    latency: Floats
    spoke: Flags
    displeased: Flags
    judged: Floats
    coin: Floats


class Crowd:
    """Requests of a world, drawn as they come."""

    def __init__(self, world: World, random: np.random.Generator) -> None:
        self.world, self.random = world, random
        self.asked = 0
        if users := world.users:
            weights = 1 / np.arange(1, users + 1)
            self.weights = np.cumsum(weights / weights.sum())
            self.place, self.coin = random.random(users), random.random(users)
            self.pace = random.lognormal(0, 0.3, users)
            self.failing, self.unhappy = (_own(rates[0], users, random) for rates in (world.errors, world.displeased))

    def more(self, n: int = CHUNK) -> Requests:
        world, random = self.world, self.random
        if world.users:
            who = np.minimum(np.searchsorted(self.weights, random.random(n)), world.users - 1)
            place, coin, pace = self.place[who], self.coin[who], self.pace[who]
            failing, unhappy = self.failing[who], self.unhappy[who]
        else:
            who = np.arange(self.asked, self.asked + n)
            place, coin, pace = random.random(n), random.random(n), np.ones(n)
            failing, unhappy = np.full(n, world.errors[0]), np.full(n, world.displeased[0])
        self.asked += n
        chance, mood = random.random(n), random.random(n)
        rises = [worse - before for before, worse in (world.errors, world.displeased)]
        seconds = pace * random.lognormal(0, 0.5, n)
        quality = random.normal(0, 0.2, n)
        return Requests(
            who, place,
            np.stack([chance < failing, chance < failing + rises[0]], 1),
            np.stack([seconds, seconds * world.slower], 1),
            random.random(n) < world.feedback,
            np.stack([mood < unhappy, mood < unhappy + rises[1]], 1),
            np.clip(np.stack([quality + world.judge[0], quality + world.judge[1]], 1), 0, 1),
            coin,
        )  # fmt: skip


def _own(rate: float, users: int, random: np.random.Generator) -> Floats:
    return random.beta(SPREAD * rate, SPREAD * (1 - rate), users)
