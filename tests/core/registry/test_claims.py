"""One mover at a time, also where others share the registry; what a mover left behind stops nobody for long."""

import json
from pathlib import Path

import pytest
from wheelwork.core.errors import BusyError, RegistryError
from wheelwork.core.registry.claims import PREFIX
from wheelwork.tests.core.registry.parts import FakeRegistry, Ticking, judged, moves


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry().registered("1", "2", "3")


def test_no_claim_stays(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    assert not [name for name in registry.told if name.startswith(PREFIX)]


def test_a_claim_of_a_live_mover_elsewhere_is_waited_for(tmp_path: Path, registry: FakeRegistry) -> None:
    clock = Ticking()
    claim = {"folder": "other", "machine": "elsewhere", "address": "0", "process": 1, "at": clock.now}
    registry.told[f"{PREFIX}x"] = json.dumps(claim)
    slept: list[float] = []
    waiting = moves(tmp_path, registry, clock=clock)
    waiting._sleep = slept.append
    waiting._clock = lambda: clock.now
    with pytest.raises(BusyError, match="being moved from another place"):
        waiting.judge(judged("1", None))
    assert sum(slept) >= 60 and registry.pointing == {}
    clock.now += 601  # left behind for ten minutes
    assert waiting.judge(judged("1", None)).status == "promoted"


@pytest.mark.parametrize("claim", ["{}", "no json", '{"folder": 1, "machine": 2, "process": "x", "at": 0}'])
def test_a_claim_that_is_none_is_taken_away(tmp_path: Path, registry: FakeRegistry, claim: str) -> None:
    registry.told[f"{PREFIX}x"] = claim
    assert moves(tmp_path, registry).judge(judged("1", None)).status == "promoted"
    assert f"{PREFIX}x" not in registry.told


def test_who_stood_still_for_too_long_moves_nothing(tmp_path: Path, registry: FakeRegistry) -> None:
    slow = moves(tmp_path, registry, clock=Ticking())
    times = iter([1_800_000_000.0, *[1_800_000_400.0] * 50])
    slow._clock = lambda: next(times)
    with pytest.raises(RegistryError, match="stood still for too long"):
        slow.judge(judged("1", None))
    assert registry.pointing == {}
    assert moves(tmp_path, registry).catch_up().begun is None
    last = list(moves(tmp_path, registry).journal.entries())[-1]
    assert (last.move.kind, last.state, last.move.before, last.move.after) == ("judge", "withdrawn", None, "1")
