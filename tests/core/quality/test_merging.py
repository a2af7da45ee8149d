"""Several files as one: nothing is lost, the nearest in time is found as comparing all finds it, the latest is kept."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.quality.merging import Join, Merge, Merged, _join, _Placed, merge_files, seconds_of
from wheelwork.core.rows import read_rows
from wheelwork.core.settings import parse
from wheelwork.tests.core.quality.filtering import KINDS, write

CHATS = [
    {"ticket": "1", "when": "2026-01-05T10:00:00Z", "message": "the line is down", "who": "7"},
    {"ticket": "2", "when": "2026-01-05 11:00", "message": "my bill is high", "who": "8"},
    {"ticket": "1", "when": "2026-01-05T11:30:00+01:00", "message": "it is still down", "who": "7"},
]
ALARMS = [
    {"when": "1767607320", "who": "7", "alarm": "no light"},
    {"when": "2026-01-05T10:29:00Z", "who": "7", "alarm": "no power"},
]
ASKED: dict[str, Any] = {
    "time": "when",
    "sources": {"chats": {"columns": {"id": "ticket", "text": "message"}}},
    "joins": [{"rows": "chats", "nearest": "alarms", "by": ["who"], "within": 600}],
    "unique": {"by": ["id"]},
}


def merged(folder: Path, out: str, files: dict[str, list[dict[str, Any]]], **asked: Any) -> tuple[Merged, Path]:
    paths = [write(folder / name, rows) for name, rows in files.items()]
    return merge_files(folder / out, paths, parse(Merge, asked, "merge.yaml")), folder / out


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", [".jsonl", ".csv", ".parquet"])
def test_rows_get_what_was_nearest_and_the_latest_of_an_id_is_kept(tmp_path: Path, kind: str, written: str) -> None:
    told, out = merged(tmp_path, f"out{written}", {f"chats{kind}": CHATS, "alarms.jsonl": ALARMS}, **ASKED)
    first = 2 if kind in (".csv", ".tsv") else 1
    bill, line = rows_of(out)
    assert (line["id"], line["text"], line["alarm"], line["who"]) == ("1", "it is still down", "no power", "7")
    assert line["source"] == f"chats{kind}:{first + 2} + alarms.jsonl:2" and line["when"] == CHATS[2]["when"]
    assert bill["text"] == "my bill is high" and not bill.get("alarm") and bill["source"] == f"chats{kind}:{first + 1}"
    (dropped,) = rows_of(out.with_name(f"out.dropped{written}"))
    assert (dropped["alarm"], dropped["reject_reason"]) == ("no light", "superseded")
    assert dropped["duplicate_of"] == line["source"]
    assert (told.kept, told.dropped, told.sources["alarms"].joined) == (2, 1, 2)


def test_without_settings_rows_stand_one_after_another(tmp_path: Path) -> None:
    _, out = merged(tmp_path, "out.csv", {"a.jsonl": [{"x": 1}, {"y": ["b"]}], "b.csv": [{"y": "c"}]})
    assert out.read_text().splitlines() == ["x,source,y", "1,a.jsonl:1,", ',a.jsonl:2,"[""b""]"', ",b.csv:2,c"]


def test_rows_that_cannot_be_read_or_have_no_time_are_in_quarantine(tmp_path: Path) -> None:
    rows = [{"when": "2026-01-05", "n": 1}, {"when": "soon", "n": 2}, {"n": 3}]
    path = write(tmp_path / "a.jsonl", rows)
    with path.open("a") as stream:
        stream.write("{oops\n")
    told = merge_files(tmp_path / "out.jsonl", [path], Merge(time="when"))
    assert (told.kept, told.sources["a"].quarantined) == (1, 3)
    found = [json.loads(line) for line in (tmp_path / "out.quarantined.jsonl").read_text().splitlines()]
    assert [(one["file"], one["line"]) for one in found] == [("a.jsonl", 2), ("a.jsonl", 3), ("a.jsonl", 4)]
    assert [one["why"][:16] for one in found] == ["`when` is no tim", "`when` is missin", "this is not JSON"]


TIMES = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ab")), max_size=12)


@settings(deadline=None, max_examples=60)
@given(TIMES, TIMES, st.integers(1, 20), st.sampled_from(["nearest", "before", "after"]))
def test_the_nearest_is_that_of_comparing_all(
    own: list[tuple[int, str]], other: list[tuple[int, str]], within: int, direction: str
) -> None:
    rows = [_Placed({"k": key}, f"a:{at}", time) for at, (time, key) in enumerate(own)]
    others = [_Placed({"k": key, "t": time}, f"b:{at}", time) for at, (time, key) in enumerate(other)]
    _join(rows, others, parse(Join, {"rows": "a", "nearest": "b", "by": ["k"], "within": within,
                                     "direction": direction}, "merge.yaml"))  # fmt: skip
    for (time, key), row in zip(own, rows, strict=True):
        low, high = {"nearest": (-within, within), "before": (-within, 0), "after": (0, within)}[direction]
        far = [abs(at - time) for at, of in other if of == key and low <= at - time <= high]
        assert ("t" in row.row) == bool(far)
        if far:
            assert abs(row.row["t"] - time) == min(far)


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)))
@settings(deadline=None)
def test_a_time_is_read_in_each_of_its_forms(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    seconds = moment.timestamp()
    for written in (moment, moment.isoformat(), moment.replace(tzinfo=None).isoformat(" "), seconds, str(int(seconds))):
        assert seconds_of(written) == seconds
    assert seconds_of(seconds * 1000) == seconds
    with pytest.raises(ValueError):
        seconds_of(timedelta(1))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"joins": [{"rows": "a", "nearest": "b", "within": 1}]}, "name its column in `time`"),
        ({"unique": {"by": ["id"], "keep": "earliest"}}, "name its column in `time`"),
        ({"time": "t", "joins": [{"rows": "a", "nearest": "bb", "within": 1}]}, "no file is called `bb`"),
        ({"time": "t", "joins": [{"rows": "a", "nearest": "a", "within": 1}]}, "cannot be joined"),
        ({"sources": {"c": {}}}, "no file is called `c`"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        merged(tmp_path, "out.jsonl", {"a.jsonl": [{"t": 1}], "b.jsonl": [{"t": 1}]}, **asked)
    assert not (tmp_path / "out.jsonl").exists()


def test_what_would_be_lost_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has a column `source` already"):
        merged(tmp_path, "out.jsonl", {"a.jsonl": [{"source": "web"}]})
    with pytest.raises(DataError, match=r"out.parquet: the column `n` fits no table"):
        merged(tmp_path, "out.parquet", {"a.jsonl": [{"n": 1}], "b.jsonl": [{"n": "one"}]})
    with pytest.raises(ConfigError, match="the same name but for its ending"):
        merged(tmp_path, "out.jsonl", {"a.jsonl": [{"n": 1}], "a.csv": [{"n": 1}]})
