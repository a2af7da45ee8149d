"""The pool on disk: rounds given again, kills at any moment, two processes at once, and what a version costs."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from wheelwork.core.errors import BusyError, DataError
from wheelwork.core.lines import read_lines
from wheelwork.core.pool import store as pool_store
from wheelwork.core.pool.log import Line
from wheelwork.core.pool.store import Pool
from wheelwork.core.pool.versions import RoundFacts, Version
from wheelwork.tests.core.pool.rows import a_pool, conclude, facts, sample, samples


def test_a_pool_that_is_not_there_is_empty_and_makes_no_file(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "home", "tiny")
    assert (pool.head(), pool.lines(), pool.excluded(), pool.drawn_by("0000-a")) == (None, [], {}, None)
    assert pool.view(None).entries == {} and not (tmp_path / "home").exists()


def test_samples_come_back_as_they_went_in(tmp_path: Path) -> None:
    pool, rows = Pool(tmp_path, "tiny"), samples(5)
    conclude(pool, 0, rows[:3])
    conclude(pool, 1, rows[2:])
    view = pool.view(pool.head())
    assert list(pool.samples(view.entries.values())) == rows
    assert list(pool.samples(view.entries[row.id] for row in (rows[4], rows[0]))) == [rows[4], rows[0]]


@pytest.mark.parametrize(("verdict", "marks"), [("promoted", {}), ("rejected", {"rejected": 2}),
                                                ("inconclusive", {"inconclusive": 2})])  # fmt: skip
def test_only_a_promoted_round_is_accepted(tmp_path: Path, verdict: str, marks: dict[str, int]) -> None:
    pool = Pool(tmp_path, "tiny")
    view = pool.view(conclude(pool, 0, samples(2), verdict))  # type: ignore[arg-type]
    assert view.marks == marks and len(view.accepted) == 2 - sum(marks.values())


def test_a_round_given_again_changes_nothing_and_replays_from_where_it_did(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    first = conclude(pool, 0, samples(3))
    second = conclude(pool, 1, samples(3, start=3), used=[samples(1)[0].id])
    lines = pool.lines()
    assert [pool.drawn_by(facts(n).round) for n in (0, 1, 2)] == [None, first, second]
    conclude(pool, 0, samples(3))
    conclude(pool, 1, samples(3, start=3), used=[samples(1)[0].id])
    assert pool.lines() == lines and pool.head() == second


def test_the_first_verdict_of_a_round_that_was_promoted_stands(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, samples(3))
    conclude(pool, 0, samples(3), "inconclusive")  # a later look is stricter
    assert len(pool.lines()) == 1 and len(pool.view(pool.head()).accepted) == 3


def test_a_round_that_is_promoted_after_all_is_accepted_and_counts_once(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, samples(3), "inconclusive")
    view = pool.view(conclude(pool, 0, samples(3)))
    assert len(view.accepted) == 3 and [told.verdict for told in view.rounds] == ["promoted"]


def test_a_round_that_kept_nothing_still_tells_what_it_drew_from(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    head = pool.head()
    conclude(pool, 7, [], "rejected")
    assert pool.drawn_by(facts(7).round) == head and len(pool.view(pool.head()).accepted) == 30


def test_excluding_twice_is_excluding_once(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, rows=3)
    row = samples(1)[0]
    line = pool.exclude({row.id: "wrong"})
    assert line is not None and (line.accepted, line.excluded, line.why) == (2, 1, "wrong")
    assert pool.exclude({row.id: "still wrong"}) is None and pool.excluded() == {row.id: "wrong"}
    assert row.id not in pool.view(conclude(pool, 1, [row, *samples(2, start=9)])).entries


def test_a_review_that_changes_nothing_leaves_no_line(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, rows=3)
    assert pool.review(Version(marks={samples(1)[0].id: None}), why="sheet") is None and len(pool.lines()) == 1


def test_undo_walks_back_and_stops_at_nothing(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, rounds=2, rows=2)
    assert pool.undo().version == pool.lines()[0].version and len(pool.view(pool.head()).accepted) == 2
    assert pool.undo().version is None and pool.view(pool.head()).entries == {}
    with pytest.raises(DataError, match="the pool of `tiny` has no version, so there is nothing to undo"):
        pool.undo()
    assert len(pool.view(conclude(pool, 0, samples(2))).accepted) == 2  # the round comes in again


def test_versions_are_found_by_how_they_begin(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, rounds=2, rows=2)
    first, head = (line.version for line in pool.lines())
    assert first and pool.find(first[:6]) == first and pool.find("head") == head
    for name in ("abc", "", "0000000000", (first or "")[:3]):
        with pytest.raises(DataError, match=r"is no version; `wheelwork pool log` lists the 2 of them"):
            pool.find(name)
    with pytest.raises(DataError, match="`head` is no version; no round has ended yet"):
        Pool(tmp_path, "other").find("head")


def test_loops_do_not_share_a_pool(tmp_path: Path) -> None:
    a_pool(tmp_path, loop="one")
    assert Pool(tmp_path, "two").head() is None


def test_a_pool_moves_with_its_home_and_its_versions_keep_their_names(tmp_path: Path) -> None:
    a_pool(tmp_path / "here", rounds=2)
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = Pool(tmp_path / "there", "tiny")
    assert len(list(moved.samples(moved.view(moved.head()).accepted))) == 60
    assert a_pool(tmp_path / "elsewhere", rounds=2).head() == moved.head()


def test_a_version_is_small_and_copies_no_sample(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, rounds=3, rows=2_000)
    pool.exclude({row.id: "wrong" for row in samples(3)})
    files = list((tmp_path / "artifacts" / "samples").rglob("*.parquet"))
    manifests = list((tmp_path / "artifacts" / "bytes").rglob("*.json"))
    assert len(files) == 3 and len(manifests) == 4
    assert max(path.stat().st_size for path in manifests) < 1_000


def test_a_lost_file_is_named_and_so_is_a_damaged_line(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    (file,) = (tmp_path / "artifacts" / "samples").rglob("*.parquet")
    file.unlink()
    with pytest.raises(DataError, match="this artefact is missing"):
        pool.view(pool.head())
    pool.path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"log\.jsonl:1: this line of the pool's log is damaged; put back a copy"):
        pool.lines()


# kills and rivals


@pytest.mark.parametrize("cut", [1, 30, 400])
def test_a_line_that_a_kill_cut_short_does_not_count_and_is_written_over(tmp_path: Path, cut: int) -> None:
    pool = a_pool(tmp_path)
    whole = pool.path.read_bytes()
    pool.path.write_bytes(whole + whole[:cut].rstrip(b"\n"))
    assert len(pool.lines()) == 1
    conclude(pool, 1, samples(3, start=90))
    assert [line.accepted for line in pool.lines()] == [30, 33]
    assert pool.path.read_bytes().startswith(whole) and pool.path.read_bytes().count(b"\n") == 2


WRITER = """
import sys
from pathlib import Path
from wheelwork.core.pool.store import Pool
from wheelwork.tests.core.pool.rows import conclude, samples

pool, first = Pool(Path(sys.argv[1]), "tiny"), int(sys.argv[2])
print("ready", flush=True)
for number in range(first, first + int(sys.argv[3])):
    conclude(pool, number, samples(20, start=number * 20))
print("done", flush=True)
"""


def writer(home: Path, first: int, rounds: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(home), str(first), str(rounds)], stdout=subprocess.PIPE)


def check_whole(pool: Pool) -> int:
    """Every version of the log can be read, adds up to what its line says, and follows the one before."""
    lines = pool.lines()
    for before, line in zip([None, *(line.version for line in lines)], lines, strict=False):
        assert line.before == before
        assert len(pool.view(line.version).accepted) == line.accepted
    return len(lines)


@pytest.mark.parametrize("after", [0.02, 0.11, 0.23])
def test_a_kill_at_any_time_leaves_the_last_whole_version(tmp_path: Path, after: float) -> None:
    process = writer(tmp_path, 0, 10_000)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pool = Pool(tmp_path, "tiny")
    there = check_whole(pool)
    conclude(pool, 99_999, samples(20, start=10**6))  # the lock went with the process
    assert check_whole(pool) == there + 1


def test_two_processes_lose_none_of_each_others_changes(tmp_path: Path) -> None:
    writers = [writer(tmp_path, first, 8) for first in (0, 100)]
    assert [process.wait(timeout=120) for process in writers] == [0, 0]
    pool = Pool(tmp_path, "tiny")
    assert check_whole(pool) == 16
    assert len(pool.view(pool.head()).accepted) == 320 and len(pool.view(pool.head()).rounds) == 16


def test_a_pool_that_another_process_keeps_busy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_store, "PATIENCE", 0.05)
    pool = a_pool(tmp_path)
    with (
        FileLock(tmp_path / "locks" / "tiny.pool.lock"),
        pytest.raises(BusyError, match="the pool of `tiny` is being changed by another process; wait for it"),
    ):
        pool.exclude({samples(1)[0].id: ""})
    assert len(pool.lines()) == 1


def test_the_log_is_plain_json_with_times_in_utc(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    (line,) = (json.loads(text) for text in pool.path.read_text(encoding="utf-8").splitlines())
    assert (line["at"], line["action"], line["why"]) == ("2027-01-15T08:00:00+00:00", "round", "promoted")
    assert read_lines(pool.path, Line, "the pool's log")[0].accepted == 30


def test_what_a_round_was_is_kept_for_the_card(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 3, [sample("no light")], "rejected")
    (told,) = pool.view(pool.head()).rounds
    assert told == RoundFacts.model_validate(told.model_dump(mode="json"))
    assert (told.seed, told.verdict, told.funnel["dropped"]) == (3, "rejected", {"too_short": 2})
