"""How far a step is, in words: what a rate is taken from, and what is left out."""

from collections.abc import Iterator

import pytest
from wheelwork.core.pace import Pace, showing


class Clock:
    """Stands still until it is put forward."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No terminal, whatever the environment claims."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    yield


def steady(pace: Pace, clock: Clock, rows: int, every: float, start: int = 0) -> str:
    """What is said when the last of `rows` comes, each `every` seconds after the one before."""
    said = ""
    for row in range(start + 1, start + rows + 1):
        clock.now += every
        said = pace(row)
    return said


def test_share_rate_time_left_and_cost(clock: Clock) -> None:
    pace = Pace(189, cost=lambda: 0.42, clock=clock)
    assert steady(pace, clock, 125, 0.125) == "66%, 8.0/s, about 8 s left, cost 0.42"


def test_what_is_not_known_is_left_out(clock: Clock) -> None:
    assert Pace(10, clock=clock)(0) == "0%"
    assert Pace(0, clock=clock)(0) == "0%"


def test_what_is_done_has_no_time_left(clock: Clock) -> None:
    assert steady(Pace(40, clock=clock), clock, 40, 0.25) == "100%, 4.0/s"


@pytest.mark.parametrize(
    ("total", "every", "said"),
    [
        (20, 0.001, "50%"),  # too short for a rate
        (20, 10, "50%, 6.0/min, about 100 s left"),
        (500, 1, "2%, 1.0/s, about 8 min left"),
        (50_000, 4, "0%, 15.0/min, about 55.5 h left"),
    ],
)
def test_rates_and_times_have_the_unit_that_suits_them(clock: Clock, total: int, every: float, said: str) -> None:
    assert steady(Pace(total, clock=clock), clock, 10, every) == said


def test_rows_that_one_call_brings_are_no_rate_of_their_own(clock: Clock) -> None:
    pace = Pace(80, clock=clock)
    heard = []
    for call in range(4):
        clock.now += 40
        heard += [pace(8 * call + row) for row in range(1, 9)]
    assert heard[7] == "10%"
    assert heard[15] == "20%, 12.0/min, about 5 min left"
    assert heard[-1] == "40%, 12.0/min, about 4 min left"


def test_what_a_resumed_step_finds_in_its_cache_is_soon_forgotten(clock: Clock) -> None:
    pace = Pace(2000, clock=clock)
    steady(pace, clock, 1000, 0.003)
    assert steady(pace, clock, 70, 1, start=1000) == "54%, 1.0/s, about 16 min left"


@pytest.mark.parametrize(("money", "said"), [(0.0, ""), (0.00314, ", cost 0.0031"), (12.345, ", cost 12.35")])
def test_cost_is_told_where_there_is_any(clock: Clock, money: float, said: str) -> None:
    assert Pace(4, cost=lambda: money, clock=clock)(1) == f"25%{said}"


def test_a_step_that_tells_fractions_has_no_rate(clock: Clock) -> None:
    pace = Pace(1, clock=clock)
    for percent in range(1, 51):
        clock.now += 2
        said = pace(percent / 100)
    assert said == "50%, about 100 s left"


@pytest.mark.usefixtures("plain")
def test_a_line_now_and_then_where_there_is_no_terminal(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with showing("generate", 40, lambda: 0.5, clock) as show:
        for done in range(1, 41):
            clock.now += 1
            show(done)
    assert capsys.readouterr().err.splitlines() == [
        "  generate: 38%, 1.0/s, about 25 s left, cost 0.50",
        "  generate: 75%, 1.0/s, about 10 s left, cost 0.50",
    ]
