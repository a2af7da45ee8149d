"""What is masked, what is spooled, and what goes when."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import ConfigError, WorkspaceError
from wheelwork.core.ledger.store import Ledger
from wheelwork.core.rows import read_rows, write_rows
from wheelwork.core.serving.exchange import Exchange, Feedback
from wheelwork.core.settings import parse
from wheelwork.core.traffic.archive import Intent, exchange_of, row_of
from wheelwork.core.traffic.corrections import SOURCE
from wheelwork.core.traffic.export import SCHEMA, write_traffic
from wheelwork.core.traffic.forgetting import forget
from wheelwork.core.traffic.preferences import SCHEMA as PAIRS
from wheelwork.core.traffic.preferences import pairs_path
from wheelwork.core.traffic.redaction import hasher, redacted, redacted_feedback
from wheelwork.core.traffic.retention import prune
from wheelwork.core.traffic.settings import Collecting, TrafficSettings, due
from wheelwork.core.traffic.spool import Spool
from wheelwork.tests.core.ledger.rows import an_entry
from wheelwork.tests.core.pool.rows import a_pool, conclude, sample
from wheelwork.tests.core.traffic.rows import DAY, NOW, an_archive, asked, said, stored

PLAIN = TrafficSettings()
SECRET = "ann@example.com"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(f"to {SECRET} now"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=4), max_size=3), st.text())
def test_whatever_is_asked_can_be_stored_and_tells_no_address(messages: list[dict[str, Any]], reply: str) -> None:
    one = redacted(asked(1, messages=tuple(messages), reply=f"{reply} {SECRET}"), PLAIN)
    row = row_of(one)
    assert SECRET not in row["messages"] and SECRET not in row["reply"] and "\0" not in row["reply"]
    row["messages"].encode(), row["reply"].encode()
    assert exchange_of(row).reply == one.reply and len(exchange_of(row).messages) == len(messages)


def test_numbers_and_corrections_are_masked_too() -> None:
    told = redacted(asked(1, messages=({"role": "user", "card": 4111111111111111, "n": 12345678},)), PLAIN)
    assert told.messages[0] == {"role": "user", "card": "[CARD]", "n": 12345678}
    assert redacted_feedback(said(1, correction=SECRET, comment=SECRET), PLAIN) == said(
        1, correction="[EMAIL]", comment="[EMAIL]"
    )
    assert redacted_feedback(said(1, thumb="up"), PLAIN) == said(1, thumb="up")
    assert redacted(asked(1, reply=SECRET), TrafficSettings(redact=())).reply == SECRET


def test_hashes_are_keyed(tmp_path: Path) -> None:
    here, there = hasher(tmp_path / "a"), hasher(tmp_path / "b")
    assert here("ann") == hasher(tmp_path / "a")("ann") != there("ann") and len(here("ann")) == 32
    assert here("\ud83d") != here("?")
    (tmp_path / "a" / "traffic.salt").write_text("short")
    with pytest.raises(WorkspaceError, match="damaged"):
        hasher(tmp_path / "a")


# the spool


LINES = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.text(max_size=300)), max_size=25)


@given(LINES, st.integers(500, 6000))
def test_the_spool_keeps_its_bound_counts_what_it_drops_and_gives_the_rest_back(
    lines: list[tuple[bool, int, str]], bound: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), bound)
        put = gone = heard = refused = 0
        for number, (is_feedback, _, text) in enumerate(lines):
            text = text.encode("utf-8", "replace").decode()
            one = [] if is_feedback else [asked(number, text=text)]
            told = spool.put(one, [said(number, comment=text)] if is_feedback else [])
            put, gone, heard = put + len(one), gone + told.dropped, heard + told.feedback
            refused += is_feedback - told.feedback
            assert sum(path.stat().st_size for path in spool.folder.glob("*")) <= bound
            assert not (told.feedback < is_feedback and any(spool.ids())), "feedback goes after exchanges only"
        found = list[Exchange | Feedback]()
        assert spool.take(lambda asked, said: found.extend([*asked, *said])) == len(found)
        assert sum(isinstance(one, Exchange) for one in found) == put - gone
        assert sum(isinstance(one, Feedback) for one in found) == heard
        assert spool.empty


def test_a_line_that_a_kill_cut_short_is_left_out_and_a_damaged_file_put_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.put([asked(1), asked(2)], [])
    (path,) = spool.folder.glob("*.jsonl")
    os.truncate(path, path.stat().st_size - 5)
    found: list[str] = []
    spool.take(lambda asked, _: found.extend(one.id for one in asked))
    assert found == ["chatcmpl-1"]
    spool.put([asked(3)], [])
    (path,) = spool.folder.glob("*.jsonl")
    path.write_text("{}\n" + path.read_text())
    assert spool.take(lambda asked, _: None) == 0 and list(spool.folder.glob("*.damaged"))


def test_what_cannot_be_stored_stays_in_the_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.put([asked(1)], [said(1, thumb="up")])

    def away(*_: object) -> None:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        spool.take(away)
    assert dict(spool.ids()) == {"chatcmpl-1": ("", "tiny")}


# retention


def left(home: Path, settings: TrafficSettings, now: float = NOW) -> list[int]:
    archive = an_archive(home)
    prune(archive, "tiny", settings, now)
    return [int(one.exchange.id.partition("-")[2]) for one in archive.all("tiny")]


def test_what_is_too_old_goes_and_what_users_spoke_of_later(tmp_path: Path) -> None:
    ages = [asked(number, at=NOW - number * DAY) for number in (1, 29, 31, 364, 366)]
    stored(tmp_path, *ages, said(31, thumb="up"), said(364, rating=1), said(366, thumb="up"))
    assert sorted(left(tmp_path, PLAIN)) == [1, 29, 31, 364]
    assert sorted(left(tmp_path, TrafficSettings(days=10, feedback_days=40))) == [1, 31]


def test_of_too_many_the_oldest_go_first_and_what_users_spoke_of_last(tmp_path: Path) -> None:
    stored(tmp_path, *(asked(number) for number in range(10)), said(0, thumb="up"), said(1, thumb="up"))
    assert left(tmp_path, TrafficSettings(rows=5)) == [0, 1, 7, 8, 9]
    assert left(tmp_path, TrafficSettings(rows=1)) == [1]


def test_texts_above_the_size_go_and_other_loops_stay(tmp_path: Path) -> None:
    archive = stored(tmp_path, *(asked(number, text="x" * 1000) for number in range(10)), asked(99, loop="other"))
    assert left(tmp_path, TrafficSettings(megabytes=0.0035)) == [7, 8, 9]
    assert [one.exchange.id for one in archive.all("other")] == ["chatcmpl-99"]
    size = (tmp_path / "traffic.db").stat().st_size
    assert size < 200_000


def test_intents_feedback_and_marks_go_with_their_exchange(tmp_path: Path) -> None:
    archive = stored(tmp_path, asked(1, at=NOW - 400 * DAY), said(1, correction="wifi", at=NOW - 400 * DAY))
    archive.label([Intent("chatcmpl-1", "tiny", NOW, "wifi", "correction", 1.0, "line")])
    prune(archive, "tiny", PLAIN, NOW)
    with archive.database.reading() as connection:
        for table in ("exchanges", "feedback", "intents"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_a_user_is_forgotten_everywhere_and_what_was_learnt_is_told(tmp_path: Path) -> None:
    user, other = hasher(tmp_path)("ann"), hasher(tmp_path)("bob")
    archive = stored(tmp_path, asked(1, "a very own question", user=user), asked(2, user=other), said(1, thumb="down"))
    archive.label([Intent(f"chatcmpl-{n}", "tiny", NOW, "a very own question", "cluster", 1.0, None) for n in (1, 2)])
    Spool(tmp_path, 1 << 20).put([asked(3, user=user), asked(4, user=other)], [said(3, thumb="up"), said(1, rating=1)])
    learnt = sample("a very own question", origin="feedback", source=f"{SOURCE}chatcmpl-1")
    conclude(a_pool(tmp_path, rounds=0), 0, [learnt])
    Ledger(tmp_path, "tiny").add(
        [an_entry("a very own question", kind="feedback", source=f"{SOURCE}chatcmpl-1")], replace=True
    )
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b", "of": of} for of in ("chatcmpl-1 chatcmpl-2", "chatcmpl-2")]
    write_rows(pairs_path(tmp_path, "tiny"), rows, PAIRS)
    done = forget(tmp_path, archive, "tiny", "ann")
    assert (done.exchanges, done.pairs, done.samples, len(done.items)) == (2, 1, [learnt.id], 1)
    assert [one.exchange.id for one in archive.all("tiny")] == ["chatcmpl-2"]
    assert archive.intents("tiny", 9) == []  # what was put with a question that is gone is labelled anew
    assert dict(Spool(tmp_path, 0).ids()) == {"chatcmpl-4": ("", "tiny")}
    archive.database.close()
    assert b"very own" not in b"".join(path.read_bytes() for path in tmp_path.glob("traffic.db*"))
    assert forget(tmp_path, archive, "tiny", "ann").exchanges == 0


# export and settings


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_traffic_is_exported_with_the_last_word_of_users(ending: str, tmp_path: Path) -> None:
    archive = stored(tmp_path, asked(1), asked(2), said(1, thumb="up"), said(1, thumb="down", at=NOW + 99))
    path = tmp_path / f"out.{ending}"
    assert write_traffic(archive, "tiny", path) == 2
    first, second = (row for _, row in read_rows(path))
    assert first["thumb"] == "down" and not second.get("thumb") and set(first) <= set(SCHEMA.names)
    assert first["messages"] == '[{"role":"user","content":"the modem is red"}]'
    assert write_traffic(archive, "tiny", path, since=NOW + 2) == 1


def test_a_collection_is_due_by_number_and_by_time() -> None:
    settings = Collecting()
    assert not due({"corrections": 19}, settings) and due({"corrections": 20}, settings)
    assert not due({"corrections": 0, "minutes": 9.9}, settings) and due({"minutes": 10}, settings)


def test_settings_that_cannot_be_are_told() -> None:
    with pytest.raises(ConfigError, match="feedback_days"):
        parse(TrafficSettings, {"days": 400}, "loop.yaml")
    with pytest.raises(ConfigError, match="redact"):
        parse(TrafficSettings, {"redact": ["emails"]}, "loop.yaml")
