"""How users take each version: what the database adds up, by version and day."""

from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.traffic.archive import Archive, Intent
from wheelwork.core.traffic.figures import curves, day_of, figures, step_of
from wheelwork.tests.core.traffic.rows import DAY, NOW, an_archive, asked, said, stored

NUMBERS = count(1000)


def test_a_day_of_a_version_adds_up(tmp_path: Path) -> None:
    archive = stored(
        tmp_path,
        *(asked(number, latency=number / 10) for number in range(1, 9)),
        asked(9, status=503, error="server_error", reply=""),
        asked(10, role="shadow", version="8"),
        said(1, thumb="up"),
        said(2, rating=4),
        said(3, rating=5),
        said(3, thumb="down", at=NOW + 500),  # the last word
        said(4, correction="wifi"),
        said(9, thumb="down"),
    )
    told = {1: ("line", "thumb", 1.0), 4: ("wifi", "correction", 1.0), 5: ("wifi", "encoder", 0.95)}
    told |= {6: ("line", "agreement", 0.99), 7: ("bill", "encoder", 0.3)}
    archive.label([Intent(f"chatcmpl-{n}", "tiny", NOW + n, *what, "line") for n, what in told.items()])
    (row,) = figures(archive, "tiny", days=False)
    assert (row.version, row.exchanges, row.errors, row.rated, row.content) == ("7", 9, 1, 4, 2)
    assert row.latency_p50 == pytest.approx(0.45) and row.satisfaction == 0.5 and row.rating == 4.5
    assert row.low == pytest.approx(0.15, abs=0.001) and row.high == pytest.approx(0.85, abs=0.001)
    assert (row.corrections, row.correction_rate, row.recall, row.agreement) == (1, 1 / 8, 0.5, 0.5)
    assert [(one.label, one.asked, one.right) for one in row.labels] == [("line", 1, 1), ("wifi", 1, 0)]


def test_days_are_rows_and_unknown_is_not_zero(tmp_path: Path) -> None:
    archive = stored(
        tmp_path, asked(1), asked(2, at=NOW + DAY, version="10"), asked(3, at=NOW + DAY, version="9"),
        said(1, thumb="up", at=NOW + 3 * DAY),
    )  # fmt: skip
    rows = figures(archive, "tiny")
    assert [(row.version, row.day) for row in rows] == [("7", "2027-01-15"), ("9", "2027-01-16"), ("10", "2027-01-16")]
    assert rows[0].satisfaction == 1.0 and rows[1].satisfaction is None and rows[1].recall is None
    series = curves(rows)
    assert series["traffic.7.satisfaction"] == {step_of("2027-01-15"): 1.0}
    assert "traffic.9.satisfaction" not in series and figures(archive, "other") == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """One database for many examples; each has a loop of its own."""
    return an_archive(tmp_path_factory.mktemp("shared"))


@given(data=st.data())
def test_the_database_adds_up_what_a_person_would(shared: Archive, data: st.DataObject) -> None:
    kinds = ("thumb", "correction", "encoder", "agreement", "cluster", "unreadable")
    drawn = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["7", "8"]), st.integers(0, 3 * 86_400), st.sampled_from([200, 200, 503]),
                st.sampled_from(["champion", "shadow"]), st.sampled_from(kinds), st.sampled_from([0.3, 0.9, 1.0]),
                st.sampled_from(["line", "wifi", None]),
            ),
            max_size=12,
        )
    )  # fmt: skip
    loop = f"loop {next(NUMBERS)}"
    rows = [
        asked(next(NUMBERS), loop=loop, version=version, at=NOW + at, status=status, role=role)
        for version, at, status, role, *_ in drawn
    ]
    shared.add(rows)
    shared.label(
        [Intent(row.id, loop, row.at, "line", how, confidence, served)
         for row, (*_, how, confidence, served) in zip(rows, drawn, strict=True)]
    )  # fmt: skip
    found = {(row.version, row.day): row for row in figures(shared, loop)}
    lone = figures(shared, loop, days=False, latencies=False)
    heard = [(row, one[-3:]) for row, one in zip(rows, drawn, strict=True) if row.role != "shadow"]
    assert found.keys() == {(row.version, day_of(row.at)) for row, _ in heard}
    for key, told in found.items():
        own = [(row, one) for row, one in heard if (row.version, day_of(row.at)) == key]
        assert (told.exchanges, told.errors) == (len(own), sum(row.status == 503 for row, _ in own))
        assert (told.latency_p50 is None) == (told.exchanges == told.errors)
        users = [served for _, (how, _, served) in own if how in ("thumb", "correction")]
        sure = [served for _, (how, p, served) in own if how in ("encoder", "agreement", "unreadable") and p >= 0.9]
        assert told.recall == (users.count("line") / len(users) if users else None)
        assert told.agreement == (sure.count("line") / len(sure) if sure else None)
    assert sum(row.exchanges for row in lone) == len(heard) and {row.latency_p95 for row in lone} <= {None}
