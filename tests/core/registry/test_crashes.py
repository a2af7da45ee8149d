"""Moves that end after any of their effects, in any order of promotions, rollbacks and hands in MLflow."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from wheelwork.core.registry.journal import Entry
from wheelwork.core.registry.moves import Moved
from wheelwork.core.registry.past import Past
from wheelwork.tests.core.registry.parts import FakeRegistry, Killed, Ticking, judged, moves

KILLS = st.none() | st.integers(1, 24)
MOST = 40  # effects of the longest move


def explained(entries: list[Entry]) -> None:
    """Every move goes on from where the one before it left the alias."""
    holders: dict[str, str | None] = {}
    for entry in entries:
        if entry.moved:
            if entry.move.kind != "start":
                assert entry.move.before == holders.get(entry.move.alias), entry
            holders[entry.move.alias] = entry.move.after


@pytest.mark.parametrize("what", ["promotion", "rejection", "rollback", "rollback to the base", "measurement"])
def test_ended_after_any_effect_it_is_the_old_champion_or_the_new(tmp_path: Path, what: str) -> None:
    ends = set[str]()
    for kill in range(1, MOST):
        home, registry = tmp_path / str(kill), FakeRegistry().registered("1", "2", "3")
        moves(home, registry).judge(judged("1", None))
        if what != "rollback to the base":
            moves(home, registry).judge(judged("2", "1"))

        def act(home: Path = home, registry: FakeRegistry = registry) -> None:
            if what == "promotion":
                moves(home, registry).judge(judged("3", "2"))
            elif what == "rejection":
                moves(home, registry).judge(judged("3", "2", "rejected"))
            elif what == "measurement":
                moves(home, registry).measured("2", judged("3", None).fingerprint)  # type: ignore[arg-type]
            else:
                moves(home, registry).roll_back()

        old = registry.pointing["champion"]
        new = {"promotion": "3", "rollback": "1", "rollback to the base": None}.get(what, old)
        registry.effects.left = kill
        try:
            act()
        except Killed:
            assert registry.pointing.get("champion") in (old, new)
        else:
            assert registry.pointing.get("champion") == new
            assert {"withdrawn", "finished", "whole"} <= ends or what in ("rejection", "measurement")
            return
        registry.effects.dead = False
        before = registry.pointing.get("champion")
        past = moves(home, registry).catch_up()
        assert registry.pointing.get("champion") == before == past.champion and past.begun is None
        entries = list(moves(home, registry).journal.entries())
        explained(entries)
        promoting = [
            entry for entry in entries if entry.move.kind in ("promote", "rollback") and entry.state != "begun"
        ]
        ends.add("withdrawn" if promoting[-1].state == "withdrawn" else "finished" if promoting[-1].note else "whole")
        act()
        assert registry.pointing.get("champion") == new
        explained(list(moves(home, registry).journal.entries()))
    raise AssertionError("there are more effects than were tried")


class Registers(RuleBasedStateMachine):
    """One loop whose movers are killed at will; `winners` are versions that were judged better than a champion."""

    lost = Bundle("lost")

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.registry = FakeRegistry()
        self.clock = Ticking()
        self.allowed: set[str | None] = {None}  # who may be champion: who won, and whom a person put there
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "home"):
            shutil.rmtree(self.home)

    def attempt(self, kill: int | None, version: str | None, against: str | None, verdict: str = "") -> Moved | None:
        """Judge, or roll back without a verdict; None where it was killed."""
        mover = moves(self.home, self.registry, clock=self.clock)
        self.registry.effects.left = kill
        try:
            if verdict:
                return mover.judge(judged(str(version), against, verdict))
            return mover.roll_back(version, "as asked")
        except Killed:
            return None
        finally:
            self.registry.effects.left, self.registry.effects.dead = None, False

    @property
    def champion(self) -> str | None:
        return self.registry.pointing.get("champion")

    def fresh(self) -> str:
        self.count += 1
        self.registry.registered(str(self.count))
        return str(self.count)

    @rule(kill=KILLS)
    def win(self, kill: int | None) -> None:
        version, old = self.fresh(), self.champion
        self.allowed.add(version)
        done = self.attempt(kill, version, old, "promoted")
        assert self.champion in (old, version)
        assert done is None or (done.status, self.champion) == ("promoted", version)

    @rule(kill=KILLS, target=lost, verdict=st.sampled_from(["rejected", "inconclusive"]))
    def lose(self, kill: int | None, verdict: str) -> str:
        version, old = self.fresh(), self.champion
        self.attempt(kill, version, old, verdict)
        assert self.champion == old
        return version

    @rule(kill=KILLS, target=lost)
    def win_too_late(self, kill: int | None) -> str:
        version, old = self.fresh(), self.champion
        done = self.attempt(kill, version, "another", "promoted")
        assert self.champion == old and (done is None or done.status == "refused")
        return version

    @rule(version=consumes(lost), kill=KILLS)
    def win_the_second_time(self, version: str, kill: int | None) -> None:
        old = self.champion
        self.allowed.add(version)
        self.attempt(kill, version, old, "promoted")
        assert self.champion in (old, version)

    @rule(kill=KILLS)
    def roll_back(self, kill: int | None) -> None:
        past = moves(self.home, self.registry, clock=self.clock).catch_up()
        if past.last is None:
            return
        old = self.champion
        done = self.attempt(kill, None, None)
        if done is not None:
            again = self.attempt(None, None, None)
            assert again is not None and (again.status, again.champion) == ("already", done.champion)
        assert done is None or self.champion == done.champion
        assert self.champion == old or self.champion in self.allowed

    @rule(data=st.data(), kill=KILLS)
    def roll_back_to(self, data: st.DataObject, kill: int | None) -> None:
        if not self.count:
            return
        version, old = str(data.draw(st.integers(1, self.count))), self.champion
        self.allowed.add(version)
        done = self.attempt(kill, version, None)
        assert self.champion in (old, version)
        assert done is None or self.champion == version

    @rule(data=st.data())
    def by_hand(self, data: st.DataObject) -> None:
        if not self.count:
            return
        version = str(data.draw(st.integers(1, self.count)))
        self.allowed.add(version)
        self.registry.pointing["champion"] = version

    @rule()
    def catch_up(self) -> None:
        old = self.champion
        past = moves(self.home, self.registry, clock=self.clock).catch_up()
        assert past.champion == old == self.champion and past.begun is None

    @invariant()
    def history_explains_what_there_is(self) -> None:
        if not hasattr(self, "home"):
            return
        entries = list(moves(self.home, self.registry, clock=self.clock).journal.entries())  # the chain holds
        explained(entries)
        assert self.champion in self.allowed
        past = Past(entries)
        for entry in past.champions:
            assert past.at(entry.moment) is not None


Registers.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRegisters = Registers.TestCase
