"""A canary beside a registry: its decisions stand in the journal, and its rollback moves the alias."""

from pathlib import Path

from wheelwork.core.serving.canary.canary import Canary
from wheelwork.core.serving.canary.journaling import through
from wheelwork.core.serving.canary.settings import CanarySettings
from wheelwork.core.serving.canary.state import Order, State
from wheelwork.tests.core.registry.parts import FakeRegistry, judged, moves


def test_a_trial_is_told_from_its_begin_to_the_rollback(tmp_path: Path) -> None:
    registry = FakeRegistry().registered("1", "2")
    ours = moves(tmp_path, registry)
    ours.judge(judged("1", None))
    ours.judge(judged("2", "1"))
    state = State(tmp_path, "router")
    canary = Canary("router", CanarySettings(), state, lambda: 1e9, *through(ours))
    canary.champion_moved(None, "1", "start")
    canary.champion_moved("1", "2", "promote")
    canary.decide()
    state.order(Order(at=1e9, by="ann", act="stop", candidate="2", reason="rude"))
    canary.decide()
    told = [(one.move.kind, one.state, one.move.reason) for one in ours.journal.entries()][-4:]
    assert told == [
        ("canary", "done", "5% of users: trial of version 2 against version 1 begins: it was promoted"),
        ("canary", "done", "5% of users: to be rolled back to version 1 by ann: ann stopped the trial: rude"),
        ("rollback", "begun", "canary: ann stopped the trial: rude"),
        ("rollback", "done", "canary: ann stopped the trial: rude"),
    ]
    assert registry.pointing["champion"] == "1"
    assert canary.remembered.unwritten == [] and canary.champion == "1"
