"""The simulations of canaries: arrays and the Canary itself say the same, and the figures are what they should be."""

import numpy as np
import pytest
from wheelwork.benchmarks.canary import HARMFUL, HARMLESS, LIMITS
from wheelwork.benchmarks.canary_itself import Itself
from wheelwork.benchmarks.canary_peers import peers
from wheelwork.benchmarks.canary_simulations import many, trial
from wheelwork.benchmarks.canary_worlds import World

QUICKER = LIMITS.model_copy(update={"stages": (0.2, 0.5, 1.0), "min_requests": 100})
"""Larger stages, so that a test takes a moment."""


@pytest.mark.parametrize("world", [HARMLESS[0], World("users", users=300), *HARMFUL], ids=lambda world: world.name)
def test_arrays_and_the_canary_decide_the_same_at_the_same_request(world: World) -> None:
    seeds = np.random.SeedSequence([11, 2])
    over_arrays = trial(world, QUICKER, np.random.default_rng(seeds), 5_000)
    assert Itself(world, QUICKER)(np.random.default_rng(seeds), 5_000) == over_arrays


@pytest.mark.parametrize("world", HARMFUL, ids=lambda world: world.name)
def test_a_harmful_version_is_rolled_back(world: World) -> None:
    ended = list(many(lambda random: trial(world, QUICKER, random, 30_000), 30, 1))
    assert [one.how for one in ended] == ["rolled_back"] * 30
    assert np.median([one.requests for one in ended]) < 8_000


@pytest.mark.parametrize("world", [HARMLESS[0], World("users", users=500)], ids=lambda world: world.name)
def test_a_harmless_version_is_not_though_it_is_looked_at_after_every_request(world: World) -> None:
    ended = list(many(lambda random: trial(world, QUICKER, random, 12_000), 40, 2))
    assert sum(one.how == "rolled_back" for one in ended) <= 2


def test_a_z_test_that_is_looked_at_after_every_request_is_fooled() -> None:
    found = list(many(lambda random: peers(HARMLESS[0], 0.05, 10_000, random), 40, 3))
    assert sum(one.repeated > 0 for one in found) > 15
    assert sum(one.fixed > 0 for one in found) <= 8
