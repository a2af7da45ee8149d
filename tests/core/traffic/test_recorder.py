"""Exchanges are written down whatever happens to the database, and nobody waits for it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.parts import Traffic
from wheelwork.core.traffic.recorder import Recorder
from wheelwork.core.traffic.settings import TrafficSettings
from wheelwork.tests.core.traffic.rows import NOW, an_archive, asked, said, stored

Make = Callable[..., Recorder]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Recorder] = []

    def recorder(**options: object) -> Recorder:
        made.append(Recorder(tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield recorder
    for one in made:
        one.close()


def ids(home: Path) -> list[str]:
    return [one.exchange.id for one in an_archive(home).all("tiny")]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_what_the_gateway_asks_for(make: Make) -> None:
    recorder: Traffic = make()
    assert recorder.health().state == "ok"


def test_what_is_recorded_is_read_back_as_it_was(make: Make, tmp_path: Path) -> None:
    recorder = make()
    one = asked(1, first_token=0.02, prompt_tokens=7, cached=True, shadow_of="chatcmpl-0", conversation="c")
    recorder.record(one)
    recorder.feedback(said(1, thumb="down", rating=2, correction="wifi", comment="no"))
    assert recorder.flush() and recorder.counts() == {"stored": 1, "spooled": 0, "dropped": 0, "waiting": 0}
    (found,) = an_archive(tmp_path).all("tiny")
    assert found.exchange == one and found.said == (said(1, thumb="down", rating=2, correction="wifi", comment="no"),)


def test_texts_are_masked_before_they_are_stored(make: Make, tmp_path: Path) -> None:
    recorder = make()
    parts = [
        {"type": "text", "text": "I am ann@example.com"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    recorder.record(asked(1, messages=({"role": "user", "content": parts},), reply="Hello ann@example.com \ud83d\0"))
    recorder.feedback(said(1, correction="call +44 20 7946 0958", comment="write to bob@example.com"))
    assert recorder.flush()
    (found,) = an_archive(tmp_path).all("tiny")
    recorder.close()
    assert "example.com" not in str(found) and "7946" not in str(found) and "AAAA" not in str(found)
    assert found.exchange.messages[0]["content"][0]["text"] == "I am [EMAIL]"
    assert b"example.com" not in b"".join(path.read_bytes() for path in tmp_path.glob("traffic.db*"))


def test_a_loop_that_keeps_no_texts_stores_figures(make: Make, tmp_path: Path) -> None:
    recorder = make(loops={"tiny": TrafficSettings(keep_texts=False)})
    recorder.record(asked(1))
    assert recorder.flush()
    (found,) = an_archive(tmp_path).all("tiny")
    assert (found.exchange.messages, found.exchange.reply, found.exchange.latency) == ((), "", 0.1)


def test_feedback_finds_its_exchange_in_memory_in_the_database_and_nowhere(make: Make, tmp_path: Path) -> None:
    stored(tmp_path, asked(9, key="mine"))
    recorder = make()
    recorder.record(asked(1, key="mine"))
    for number in (1, 9):
        recorder.feedback(said(number, thumb="up", key="mine"))
        with pytest.raises(ServingError, match="another API key") as refused:
            recorder.feedback(said(number, thumb="up", key="other"))
        assert refused.value.status == 403
    with pytest.raises(ServingError, match="no exchange") as unknown:
        recorder.feedback(said(5, thumb="up"))
    assert unknown.value.status == 404
    with pytest.raises(ServingError) as empty:
        recorder.feedback(said(1))
    assert empty.value.status == 400


def test_a_locked_database_fills_the_spool_which_is_taken_in_once(make: Make, tmp_path: Path) -> None:
    an_archive(tmp_path).add([])
    recorder = make()
    recorder.record(asked(1))
    assert recorder.flush()
    holder = sqlite3.connect(tmp_path / "traffic.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    recorder.record(asked(2))
    recorder.feedback(said(1, thumb="up"))
    until(lambda: recorder.counts()["spooled"] == 1)
    assert recorder.health().state == "degraded" and "locked" in recorder.health().note
    recorder.feedback(said(2, thumb="down"))
    recorder.flush()
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: recorder.health().state == "ok")
    recorder.record(asked(3))
    assert recorder.flush() and ids(tmp_path) == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-3"]
    assert [len(one.said) for one in an_archive(tmp_path).all("tiny")] == [1, 1, 0]
    assert list((tmp_path / "traffic-spool").glob("*")) == []
    assert recorder.counts() == {"stored": 3, "spooled": 0, "dropped": 0, "waiting": 0}


def test_a_full_database_goes_on_when_there_is_room(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = make()
    recorder.record(asked(1))
    assert recorder.flush()
    with recorder._archive.database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    recorder.record(asked(2, text="long " * 20_000))
    until(lambda: recorder.health().state == "degraded")
    assert "full" in recorder.health().note
    with recorder._archive.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    until(lambda: recorder.health().state == "ok")
    assert ids(tmp_path) == ["chatcmpl-1", "chatcmpl-2"]


def test_a_database_that_is_taken_away_is_made_anew(make: Make, tmp_path: Path) -> None:
    recorder = make()
    recorder.record(asked(1))
    assert recorder.flush()
    for path in tmp_path.glob("traffic.db*"):
        path.unlink()
    recorder.record(asked(2))
    assert recorder.flush() and ids(tmp_path) == ["chatcmpl-2"]


def test_a_folder_in_the_way_of_the_database_is_no_reason_to_stop(make: Make, tmp_path: Path) -> None:
    (tmp_path / "traffic.db").mkdir()
    recorder = make()
    recorder.record(asked(1))
    recorder.feedback(said(1, rating=5))
    until(lambda: recorder.counts()["spooled"] == 1)
    (tmp_path / "traffic.db").rmdir()
    until(lambda: recorder.health().state == "ok")
    assert [len(one.said) for one in an_archive(tmp_path).all("tiny")] == [1]


def test_what_an_earlier_run_spooled_is_known_and_taken_in(make: Make, tmp_path: Path) -> None:
    (tmp_path / "traffic.db").mkdir()
    first = make()
    first.record(asked(1, key="mine"))
    first.close()
    assert first.counts()["spooled"] == 1
    second = make()
    second.feedback(said(1, thumb="up", key="mine"))
    with pytest.raises(ServingError):
        second.feedback(said(1, thumb="up", key="other"))
    (tmp_path / "traffic.db").rmdir()
    until(lambda: second.health().state == "ok")
    assert [len(one.said) for one in an_archive(tmp_path).all("tiny")] == [1]


def test_beyond_all_bounds_exchanges_are_dropped_and_counted_but_no_feedback(make: Make, tmp_path: Path) -> None:
    (tmp_path / "traffic.db").mkdir()
    recorder = make(spool_bytes=6000)
    for number in range(40):
        recorder.record(asked(number))
    recorder.flush()
    for number in range(30):
        recorder.feedback(said(number, correction="the wireless network drops in the kitchen"))
    recorder.flush()
    counts = recorder.counts()
    assert counts["dropped"] > 0 and "were dropped" in recorder.health().note
    (tmp_path / "traffic.db").rmdir()
    until(lambda: recorder.health().state == "ok")
    with an_archive(tmp_path).database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback").scalar() == 30


def test_a_full_memory_gives_an_exchange_for_feedback_and_then_says_so(make: Make, tmp_path: Path) -> None:
    (tmp_path / "traffic.db").mkdir()
    (tmp_path / "traffic-spool").write_text("in the way")
    recorder = make(capacity=3)
    for number in range(5):
        recorder.record(asked(number))
    assert recorder.counts()["dropped"] >= 2
    for number in range(3):
        recorder.feedback(said(number, thumb="up"))
    until(lambda: "traffic-spool" in recorder.health().note)
    time.sleep(0.2)
    with pytest.raises(ServingError) as full:
        for number in range(3):
            recorder.feedback(said(number, thumb="down"))
    assert full.value.status == 503 and full.value.retry_after
    (tmp_path / "traffic-spool").unlink()
    (tmp_path / "traffic.db").rmdir()
    until(lambda: recorder.health().state == "ok")
    with an_archive(tmp_path).database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback WHERE thumb = 'up'").scalar() == 3


def test_feedback_that_the_spool_has_no_room_for_waits_in_memory(make: Make, tmp_path: Path) -> None:
    (tmp_path / "traffic.db").mkdir()
    recorder = make(spool_bytes=100)
    recorder.record(asked(1))
    for rating in range(1, 4):
        recorder.feedback(said(1, rating=rating))
    until(lambda: recorder.health().state == "degraded")
    (tmp_path / "traffic.db").rmdir()
    until(lambda: recorder.health().state == "ok")
    with an_archive(tmp_path).database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback").scalar() == 3


def test_what_is_too_much_goes_by_itself(make: Make, tmp_path: Path) -> None:
    recorder = make(loops={"tiny": TrafficSettings(rows=3)}, pruning=0.05, clock=lambda: NOW + 9)
    for number in range(9):
        recorder.record(asked(number))
    assert recorder.flush()
    until(lambda: ids(tmp_path) == ["chatcmpl-6", "chatcmpl-7", "chatcmpl-8"])


def test_one_row_that_cannot_be_stored_takes_no_other_with_it(make: Make, tmp_path: Path) -> None:
    recorder = make()
    recorder.record(asked(1))
    recorder.record(asked(2).model_copy(update={"latency": None}))
    recorder.record(asked(3))
    assert recorder.flush() and ids(tmp_path) == ["chatcmpl-1", "chatcmpl-3"]
    assert recorder.counts()["dropped"] == 1 and recorder.health().state == "ok"


def test_what_nests_too_deep_to_be_looked_through_is_stored_without_its_texts(make: Make, tmp_path: Path) -> None:
    deep: object = "ann@example.com"
    for _ in range(5000):
        deep = [deep]
    recorder = make()
    recorder.record(asked(1).model_copy(update={"messages": ({"role": "user", "content": deep},)}))
    assert recorder.flush()
    (found,) = an_archive(tmp_path).all("tiny")
    assert found.exchange.messages == ()


SLACK = 0.1  # seconds: that the machine has other work is no failure

KILLED = """
import sys, time
from pathlib import Path
from wheelwork.core.traffic.recorder import Recorder
from wheelwork.tests.core.traffic.rows import asked
recorder = Recorder(Path(sys.argv[1]))
recorder.record(asked(0)); recorder.flush()
number = 0
while True:
    number += 1
    recorder.record(asked(number, at=time.time()))
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def test_killed_it_loses_the_last_tenth_of_a_second_at_most(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGKILL)
    lines = [line.split() for line in process.stdout.read().splitlines()]
    process.wait()
    recorded = {f"chatcmpl-{number}": float(at) for number, at in (line for line in lines if len(line) == 2)}
    there = set(ids(tmp_path))
    lost = [at for id, at in recorded.items() if id not in there]
    assert len(recorded) > 50
    assert not lost or max(recorded.values()) - min(lost) <= 0.1 + SLACK
