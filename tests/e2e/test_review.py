"""A round that waits for people, by the real command: killed while it waits, gone on, repeated, and offered."""

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.pool.store import Pool
from wheelwork.core.samples import read_parquet
from wheelwork.tests.e2e.command import Command, Ran, tiny_loop, until, write_config

GENERATE = {"samples": 24, "shots": 2, "max_tokens": 12}
TRAIN = {"rank": 4, "epochs": 1, "batch_size": 8, "learning_rate": 0.01}


class Desk:
    """A loop whose rounds wait, and its state."""

    def __init__(self, folder: Path, databases: Path, server: str | None = None) -> None:
        self.loop = tiny_loop(folder / "loop", generate=GENERATE, train=TRAIN, review={"mode": "required", "rows": 6})
        self.command = Command(folder / "home", folder / "models", databases, server)
        self.report = folder / "report.json"

    def start(self) -> Any:
        return self.command.start("improve", str(self.loop), "--report", str(self.report))

    def ended(self, process: Any) -> dict[str, Any]:
        ran = self.command.finish(process)
        assert ran.code == 0, ran.err
        found: dict[str, Any] = json.loads(self.report.read_text(encoding="utf-8"))
        return found

    @property
    def sheets(self) -> list[Path]:
        found = (self.command.home / "reviews" / "tiny").glob("*/asked.json")
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def decided(self, name: str, decisions: dict[int, dict[str, str]]) -> Path:
        """The sheet of the round with `decisions` for some rows, by their number."""
        with (self.sheets[-1].parent / "sheet.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for number, decision in decisions.items():
            rows[number] |= decision
        path = self.report.parent / name
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        return path

    def imported(self, path: Path, *options: str) -> Ran:
        return self.command.run("review", "import", str(self.loop), str(path), *options)


@pytest.fixture
def desk(tmp_path: Path, migrated: Path, server: str) -> Iterator[Desk]:
    """Where Prefect runs already."""
    made = Desk(tmp_path, migrated.parent, server)
    yield made
    made.command.end_all()


@pytest.fixture
def lone_desk(tmp_path: Path, databases: Path) -> Iterator[Desk]:
    """Where each round starts a Prefect of its own, which has no page."""
    made = Desk(tmp_path, databases)
    yield made
    made.command.end_all()


def test_a_round_waits_is_killed_waits_on_and_is_not_asked_again(desk: Desk) -> None:
    process = desk.start()
    until(lambda: bool(desk.sheets), process, "the sheet")
    first = desk.decided("first.csv", {0: {"decision": "reject"}})
    assert "4 rows are left" not in (told := desk.imported(first).out) and "5 rows are left" in told
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    process = desk.start()
    other = desk.decided("other.csv", {1: {"new_answer": "bill"}, **{n: {"decision": "accept"} for n in range(2, 6)}})
    with other.open(encoding="utf-8", newline="") as stream:
        asked = list(csv.DictReader(stream))
    if asked[1]["answer"] == "bill":
        other = desk.decided(
            "other.csv", {1: {"new_answer": "wifi"}, **{n: {"decision": "accept"} for n in range(2, 6)}}
        )
    assert "No row is left: the round goes on" in desk.imported(other).out
    report = desk.ended(process)
    review = report["review"]
    assert {name: review[name] for name in ("asked", "accepted", "rejected", "corrected")} == {
        "asked": 6, "accepted": 4, "rejected": 1, "corrected": 1,
    }  # fmt: skip
    funnel = report["funnel"]
    assert funnel["dropped"]["reviewed_out"] == 1
    assert funnel["kept"] + sum(funnel["dropped"].values()) == funnel["generated"]
    files = (desk.command.home / "artifacts" / "samples").rglob("*.parquet")
    gone = {row.id for path in files for row in read_parquet(path) if row.reject_reason == "reviewed_out"}
    assert gone == {asked[0]["id"]}
    view = Pool(desk.command.home, "tiny").view(Pool(desk.command.home, "tiny").head())
    assert set(view.excluded) == {asked[0]["id"], asked[1]["id"]}
    assert [entry.parent_id for entry in view.accepted if entry.origin == "feedback"] == [asked[1]["id"]]
    assert {asked[n]["id"] for n in range(2, 6)} <= {entry.id for entry in view.accepted}

    again = desk.ended(desk.command.start("improve", str(desk.loop), "--seed", "0", "--report", str(desk.report)))
    assert again["review"] == review and again["adapter"] == report["adapter"] and again["pool"] == report["pool"]
    assert set(again["cache"].values()) == {"hit"} and len(desk.sheets) == 1
    assert "no row was decided on" not in desk.imported(other).out  # the pool's business by now


def test_nobody_there_ends_the_wait_and_an_offered_sheet_does_not_wait(lone_desk: Desk, server: str) -> None:
    desk = lone_desk
    write_config(desk.loop, generate=GENERATE, train=TRAIN, review={"mode": "required", "rows": 6, "wait": "1s"})
    ran = desk.command.finish(desk.start())
    assert ran.code == 2 and "nobody decided on 6 of the rows" in ran.sentence and "Traceback" not in ran.err
    assert "Nobody sits at this terminal, and no page is served: without a sheet it ends in 1s." in ran.sentence
    desk.command.environment["PREFECT_API_URL"] = server  # no page is looked for any more
    write_config(desk.loop, generate=GENERATE, train=TRAIN, review={"mode": "offered", "rows": 6})
    report = desk.ended(desk.start())
    assert report["review"]["ended"] == "offered" and report["review"]["decided"] == 0
    said = desk.imported(desk.decided("late.csv", {0: {"decision": "reject"}})).out
    assert "1 rejected" in said and "1 excluded" in said
