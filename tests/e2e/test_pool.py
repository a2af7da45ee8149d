"""`wheelwork pool` and `wheelwork review` by the real command, on a pool that is there already."""

import csv
import json
from pathlib import Path

import pytest
from wheelwork.core.pool.store import Pool
from wheelwork.tests.core.pool.rows import a_pool, conclude, sample, samples
from wheelwork.tests.e2e.command import Command, Ran, tiny_loop


class Desk:
    """A loop, the command, and what is in the loop's pool."""

    def __init__(self, folder: Path) -> None:
        self.loop = tiny_loop(folder / "loop", models=False)
        self.command = Command(folder / "home")
        self.pool = a_pool(folder / "home", rows=30)
        conclude(self.pool, 1, samples(6, start=100), "rejected")

    def run(self, *arguments: str, code: int = 0) -> Ran:
        """`wheelwork pool log LOOP …`, for the arguments `pool log …`."""
        ran = self.command.run(*arguments[:2], str(self.loop), *arguments[2:])
        assert ran.code == code, ran.err
        assert "Traceback" not in ran.err
        return ran


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_log_shows_every_change_the_latest_first(desk: Desk) -> None:
    lines = desk.run("pool", "log").out.splitlines()
    assert lines[0].split() == ["when", "version", "what", "accepted", "marked", "excluded"]
    assert "round 0001-abcdef01: rejected" in lines[1] and lines[1].split()[-3:] == ["30", "6", "0"]
    assert "round 0000-abcdef01: promoted" in lines[2] and lines[2].split()[-3:] == ["30", "0", "0"]


def test_the_pool_is_shown_with_ids_that_can_be_copied(desk: Desk) -> None:
    shown = desk.run("pool", "show", "--label", "wifi", "--n", "2").out
    first = next(row for row in samples(30) if row.label == "wifi")
    assert first.id in shown and first.prompt in shown and "label_margin 0.001" in shown
    assert "30 accepted, 6 marked, 0 excluded" in " ".join(shown.split())
    assert "wifi      10        2       teacher 12" in shown
    marked = desk.run("pool", "show", "--marked").out
    assert samples(1, start=100)[0].id in marked and first.id not in marked


def test_what_would_steer_a_terminal_is_not_printed(desk: Desk) -> None:
    conclude(desk.pool, 2, [sample("red \x1b[31m text [bold]here[/bold]", "bill")])
    shown = desk.run("pool", "diff", desk.pool.lines()[-2].version or "").out
    assert "\x1b[31m" not in shown and "red ·[31m text [bold]here[/bold]" in shown and "1 came, 0 left" in shown


def test_exclusions_are_for_ever_and_can_be_undone_at_once(desk: Desk) -> None:
    row = samples(1)[0]
    assert "29 accepted, 1 excluded" in desk.run("pool", "exclude", row.id, "--why", "not a customer").out
    assert "excluded before" in desk.run("pool", "exclude", row.id).out
    assert desk.pool.excluded() == {row.id: "not a customer"}
    assert "not a customer" in desk.run("pool", "diff", desk.pool.lines()[1].version or "").out
    assert "30 accepted and 0 excluded" in desk.run("pool", "undo").out


def test_an_export_is_a_data_set(desk: Desk, tmp_path: Path) -> None:
    out = desk.run("pool", "export", "--out", str(tmp_path / "set"), "--format", "alpaca").out
    assert "30 samples of version" in out
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "README.md",
        "data.jsonl",
        "dataset_info.json",
    ]
    row = json.loads((tmp_path / "set" / "data.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["instruction"] == samples(1)[0].prompt


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pool", "diff", "0000ffff"), "`0000ffff` is no version; `wheelwork pool log` lists the 2 of them"),
        (("pool", "exclude", "first"), "first: is no id of a sample; ids have 16 digits 0-9a-f"),
        (("pool", "export", "--out", "x", "--format", "alpac"), "there is no such format; did you mean `alpaca`?"),
        (("review", "import", "nowhere.csv"), "nowhere.csv: there is no such file; check its name"),
        (("review", "export", "--out", "sheet.xlsx"), "sheet.xlsx: the name must end in .jsonl, .json, .csv"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_sentence(desk: Desk, arguments: tuple[str, ...], says: str) -> None:
    assert says in desk.run(*arguments, code=2).sentence


def test_a_pool_that_is_not_there_is_told(tmp_path: Path) -> None:
    command, loop = Command(tmp_path / "home"), tiny_loop(tmp_path / "loop", models=False)
    assert "The pool of tiny is empty" in command.run("pool", "log", str(loop)).out
    ran = command.run("pool", "show", str(loop))
    assert ran.code == 2 and "no round of it has ended here; run `wheelwork improve`" in ran.sentence
    assert not (tmp_path / "home").exists()


def test_a_sheet_goes_out_and_comes_back(desk: Desk, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    out = desk.run("review", "export", "--out", str(sheet), "--reviewer", "ann", "--reviewer", "bo").out
    assert "6 rows" in out and f"wheelwork review import {desk.loop} {sheet}" in out
    with sheet.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, ann, bo in zip(rows, ("accept", "accept", "reject"), ("accept", "reject", "reject"), strict=False):
        row |= {"decision.ann": ann, "decision.bo": bo}
    with sheet.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    said = desk.run("review", "import", str(sheet)).out
    assert "tiny: 1 accepted, 1 rejected, 1 undecided, 3 no decision." in said
    assert "ann and bo agree on 67% of 3 rows; Cohen's κ 0.40." in said
    assert "31 accepted, 1 excluded" in said
    assert "The pool stays as it is." in desk.run("review", "import", str(sheet)).out
    view = Pool(desk.command.home, "tiny").view(desk.pool.head())
    assert view.entries[rows[0]["id"]].mark is None and view.excluded.keys() == {rows[2]["id"]}
