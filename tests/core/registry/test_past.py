"""What a journal adds up to at any moment, and moments as people write them."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError
from wheelwork.core.registry.when import moment_of
from wheelwork.tests.core.registry.parts import FakeRegistry, Killed, Ticking, judged, moves

NOW = datetime(2026, 11, 26, 16, 30, 15, tzinfo=UTC)
CET = timezone(timedelta(hours=1), "CET")


def test_the_champion_of_each_moment_is_found(tmp_path: Path) -> None:
    registry, clock = FakeRegistry().registered("1", "2"), Ticking(0)
    began = datetime.fromtimestamp(0, UTC)
    clock.now = 1000
    moves(tmp_path, registry, clock=clock).judge(judged("1", None))
    clock.now = 2000
    moves(tmp_path, registry, clock=clock).judge(judged("2", "1"))
    clock.now = 3000
    moves(tmp_path, registry, clock=clock).roll_back()
    past = moves(tmp_path, registry, clock=clock).catch_up()

    def at(seconds: float) -> str | None:
        entry = past.at(began + timedelta(seconds=seconds))
        return entry.move.after if entry else "unknown"

    assert [at(second) for second in (999, 1500, 2500, 3500)] == ["unknown", "1", "2", "1"]


def test_a_move_that_a_later_run_finished_was_made_when_it_was_begun(tmp_path: Path) -> None:
    registry, clock = FakeRegistry().registered("1"), Ticking(1000)
    mover = moves(tmp_path, registry, clock=clock)
    point = registry.point

    def pointed(alias: str, version: str | None) -> None:
        point(alias, version)
        if alias == "champion":
            registry.effects.dead = True
            raise Killed

    registry.point = pointed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        mover.judge(judged("1", None))
    registry.effects.dead = False
    clock.now = 9000
    past = moves(tmp_path, registry, clock=clock).catch_up()
    assert past.last is not None and "finished by a later run" in past.last.note
    assert past.last.moment.timestamp() > 9000 > past.moment_of(past.last).timestamp()
    entry = past.at(datetime.fromtimestamp(5000, UTC))
    assert entry is not None and entry.move.after == "1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", NOW),
        ("2h ago", NOW - timedelta(hours=2)),
        ("2h", NOW - timedelta(hours=2)),
        ("1.5 hours ago", NOW - timedelta(minutes=90)),
        ("3 days ago", NOW - timedelta(days=3)),
        ("90 s ago", NOW - timedelta(seconds=90)),
        ("1 week ago", NOW - timedelta(days=7)),
        ("Yesterday 14:00", datetime(2026, 11, 25, 13, 0, tzinfo=UTC)),
        ("yesterday at 14:00", datetime(2026, 11, 25, 13, 0, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 24, 23, 0, tzinfo=UTC)),
        ("today", datetime(2026, 11, 25, 23, 0, tzinfo=UTC)),
        ("9:05", datetime(2026, 11, 26, 8, 5, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 19, 23, 0, tzinfo=UTC)),
        ("2026-11-20 12:00", datetime(2026, 11, 20, 11, 0, tzinfo=UTC)),
        ("2026-11-20T12:00Z", datetime(2026, 11, 20, 12, 0, tzinfo=UTC)),
        ("2026-11-20T12:00+05:00", datetime(2026, 11, 20, 7, 0, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, found: datetime) -> None:
    assert moment_of(text, NOW, CET) == found


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "2h from now", "3 fortnights ago", "2026-13-01", "9" * 400 + "w"]
)
def test_what_is_no_time_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time; write it like"):
        moment_of(text, NOW, CET)


@pytest.mark.parametrize("text", ["2027-01-01", "23:59", "2026-11-26T17:31+01:00"])
def test_a_time_to_come_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is still to come"):
        moment_of(text, NOW, CET)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2026, 11, 26)))
def test_what_python_writes_is_read_again(moment: datetime) -> None:
    assert moment_of(moment.replace(tzinfo=UTC).isoformat(), NOW) == moment.replace(tzinfo=UTC)
