"""`wheelwork traffic`, as typed."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from wheelwork.cli import app
from wheelwork.core.errors import DataError, DependencyError
from wheelwork.core.ledger.store import Ledger
from wheelwork.core.rows import read_rows
from wheelwork.core.traffic.corrections import SOURCE
from wheelwork.core.traffic.database import URL
from wheelwork.core.traffic.redaction import hasher
from wheelwork.tests.core.ledger.rows import an_entry
from wheelwork.tests.core.traffic.rows import an_archive, asked, said
from wheelwork.tests.e2e.command import tiny_loop


class Place:
    """A loop with some traffic."""

    def __init__(self, folder: Path) -> None:
        self.loop = str(tiny_loop(folder / "loop", models=False))
        self.home = folder / "home"
        self.home.mkdir()
        hashed, now = hasher(self.home), time.time()
        rows = [
            asked(n, f"question {n}", at=now - 86_400 * 40 * (n == 0) - n, user=hashed(f"u{n % 2}")) for n in range(6)
        ]
        an_archive(self.home).add(rows, [said(1, thumb="up", at=now), said(2, correction="wifi", at=now)])

    def run(self, *arguments: str) -> str:
        ran = CliRunner().invoke(app, ["traffic", *arguments], env={"COLUMNS": "80"})
        if ran.exception is not None:
            raise ran.exception
        return ran.output


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    return Place(tmp_path)


def test_stats_fit_a_terminal_and_are_json(place: Place) -> None:
    said = place.run("stats", place.loop)
    header, row, *_ = said.splitlines()
    assert header.split()[:3] == ["version", "asked", "errors"] and row.split()[:3] == ["7", "6", "0"]
    assert "100% [21–100]" in row and "…" not in place.run("stats", place.loop, "--days")
    told: list[dict[str, Any]] = json.loads(place.run("stats", place.loop, "--json"))
    assert len(told) == 2 and sum(one["exchanges"] for one in told) == 6
    assert place.run("stats", place.loop, "--since", "30 days ago").splitlines()[1].split()[1] == "5"
    with pytest.raises(DataError, match="--since nonsense"):
        place.run("stats", place.loop, "--since", "nonsense")


def test_nothing_stored_is_said(place: Place, tmp_path: Path) -> None:
    other = tiny_loop(tmp_path / "other", models=False, name="other")
    assert place.run("stats", str(other)) == "other: no exchange is stored.\n"


def test_export_writes_and_prune_deletes(place: Place, tmp_path: Path) -> None:
    assert "exchanges: 6" in place.run("export", place.loop, str(tmp_path / "out.jsonl"))
    assert len(list(read_rows(tmp_path / "out.jsonl"))) == 6
    with pytest.raises(DataError, match="must end in"):
        place.run("export", place.loop, str(tmp_path / "out.xls"))
    assert "exchanges deleted: 1" in place.run("prune", place.loop)
    assert "exchanges deleted: 0" in place.run("prune", place.loop)


def test_forget_says_what_was_learnt(place: Place) -> None:
    item = an_entry("question 2", kind="feedback", source=f"{SOURCE}chatcmpl-2")
    Ledger(place.home, "tiny").add([item], replace=True)
    said = place.run("forget", place.loop, "--user", "u0")
    assert "exchanges 3" in said and f"ledger retire {place.loop} {item.id}" in said
    assert "exchanges 0" in place.run("forget", place.loop, "--user", "u0")
    assert len(list(an_archive(place.home).all("tiny"))) == 3
    with pytest.raises(DataError, match="--user is empty"):
        place.run("forget", place.loop, "--user", " ")


def test_a_database_that_is_away_is_one_sentence_without_a_password(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, "postgresql://ann:word@127.0.0.1:9/traffic")
    with pytest.raises(DependencyError, match="did not do as asked") as away:
        place.run("stats", place.loop)
    assert "word" not in str(away.value)
