"""The review sheet: who is on it, what people may write, and what their decisions do to the pool."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.errors import DataError, LeakError
from wheelwork.core.formats import read_samples
from wheelwork.core.pool.reviewing import Reviewed, take_in, write_review
from wheelwork.core.pool.sheet import LONGEST, SHOWN, choose, write_sheet
from wheelwork.core.pool.store import Pool
from wheelwork.core.rows import read_rows
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.pool.rows import a_pool, conclude, sample, samples
from wheelwork.tests.e2e.command import tiny_loop

Rows = list[dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_loop(tmp_path / "loop", models=False)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return a_pool(tmp_path / "home", rounds=2, rows=40)


def exported(pool: Pool, path: Path, count: int = 20, reviewers: tuple[str, ...] = ()) -> Rows:
    write_review(pool, path, count, "label_margin", reviewers, seed=0)
    return [row for _, row in read_rows(path)]


def given_back(pool: Pool, folder: Path, rows: Rows, name: str = "sheet.csv") -> Reviewed:
    path = folder.parent / name
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return take_in(pool, folder, path)


# out


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.jsonl"])
def test_a_sheet_has_twenty_rows_of_the_last_round_half_of_them_uncertain(
    pool: Pool, tmp_path: Path, name: str
) -> None:
    rows = exported(pool, tmp_path / name)
    last = {row.id: row for row in samples(40, start=40)}
    assert Counter(row["chosen"] for row in rows) == {"uncertain": 10, "random": 10}
    assert {row["id"] for row in rows} <= set(last) and len({row["id"] for row in rows}) == 20
    lowest = {row.id for row in samples(10, start=40)}  # margins grow from row to row
    assert {row["id"] for row in rows if row["chosen"] == "uncertain"} == lowest
    for row in rows:
        shown = last[row["id"]]
        assert (row["text"], row["answer"]) == (shown.prompt, shown.label)
        assert (row["decision"], row["new_text"], row["new_answer"], row["note"]) == ("", "", "", "")
        assert float(row["score"]) == pytest.approx(shown.scores["label_margin"], abs=1e-4)


def test_the_same_pool_gives_the_same_sheet_and_another_seed_another(pool: Pool) -> None:
    view = pool.view(pool.head())
    assert choose(view, 20, "label_margin", 0) == choose(view, 20, "label_margin", 0)
    assert choose(view, 20, "label_margin", 0) != choose(view, 20, "label_margin", 1)


def test_without_scores_all_are_chosen_at_random_and_a_small_round_is_shown_whole(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, [sample(f"text {n}") for n in range(9)])
    view = pool.view(pool.head())
    assert Counter(one.why for one in choose(view, 6, "label_margin", 0)) == {"random": 6}
    assert len(choose(view, 20, "label_margin", 0)) == 9


def test_the_samples_of_a_rejected_round_are_shown_too(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, samples(4), "rejected")
    assert len(choose(pool.view(pool.head()), 20, "label_margin", 0)) == 4


def test_a_conversation_shows_what_was_said_before(tmp_path: Path) -> None:
    turns = [("system", "Help."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "It is slow"), ("assistant", "Wait.")]
    talk = Sample.make(
        [Message(role=role, content=text) for role, text in turns],  # type: ignore[arg-type]
        task="dialogue",
        origin="teacher",
    )
    pool = Pool(tmp_path, "tiny")
    conclude(pool, 0, [talk])
    (row,) = exported(pool, tmp_path / "sheet.jsonl")
    assert (row["before"], row["text"], row["answer"]) == ("user: Hi\nassistant: Yes?", "It is slow", "Wait.")


def test_a_pool_without_a_last_round_is_told(tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(DataError, match="the pool of `tiny` is empty: no round of it has ended here"):
        write_review(Pool(tmp_path / "none", "tiny"), tmp_path / "s.csv", 20, "label_margin", (), 0)
    conclude(pool, 5, samples(3))  # all known from the first
    with pytest.raises(DataError, match="its last round, 0005-abcdef01, brought nothing new; run another seed"):
        write_review(pool, tmp_path / "s.csv", 20, "label_margin", (), 0)


# and in again


def test_rejected_rows_leave_for_ever_and_accepted_ones_stay(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    for number, row in enumerate(rows):
        row["decision"] = ("accept", "Reject ", "")[number % 3]
    done = given_back(pool, folder, rows)
    assert done.counts == {"accepted": 7, "rejected": 7, "corrected": 0, "no decision": 6}
    gone = {row["id"] for row in rows[1::3]}
    view = pool.view(pool.head())
    assert view.excluded == dict.fromkeys(gone, "rejected in sheet.csv") and not gone & set(view.entries)
    conclude(pool, 2, samples(40, start=40))  # written again
    assert not gone & set(pool.view(pool.head()).entries)


def test_the_same_sheet_again_changes_nothing(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    rows[0]["decision"], rows[1]["new_answer"] = "reject", "bill" if rows[1]["answer"] != "bill" else "wifi"
    assert given_back(pool, folder, rows).line is not None
    head = pool.head()
    again = given_back(pool, folder, rows)
    assert again.line is None and pool.head() == head and again.counts["excluded before"] == 2


def test_a_person_vouches_for_a_sample_of_a_rejected_round(tmp_path: Path, folder: Path) -> None:
    pool = Pool(tmp_path / "home", "tiny")
    conclude(pool, 0, samples(4), "rejected")
    rows = exported(pool, tmp_path / "out.csv")
    rows[0]["decision"] = "accept"
    given_back(pool, folder, rows)
    view = pool.view(pool.head())
    assert [entry.id for entry in view.accepted] == [rows[0]["id"]] and view.marks == {"rejected": 3}


def test_a_corrected_row_comes_in_as_a_sample_of_its_own(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    old = next(row for row in rows if row["answer"] == "line")
    old["new_text"], old["new_answer"], old["decision"] = "The bill is far too high", "bill", "reject"
    done = given_back(pool, folder, rows)
    assert (done.counts["corrected"], done.counts["rejected"]) == (1, 0)
    view = pool.view(pool.head())
    (entry,) = (entry for entry in view.accepted if entry.parent_id == old["id"])
    (new,) = pool.samples([entry])
    assert (new.prompt, new.completion, new.label, new.origin) == (
        "The bill is far too high",
        "bill",
        "bill",
        "feedback",
    )
    assert new.controls["category"] == entry.category == "bill" and new.scores == {}
    assert new.messages[0].role == "system" and new.source.startswith("sheet.csv:")
    assert view.excluded[old["id"]] == f"corrected to {new.id}"


def test_a_correction_that_changes_only_the_label_keeps_the_text(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    old = next(row for row in rows if row["answer"] == "line")
    old["new_answer"] = "wifi"
    given_back(pool, folder, rows)
    view = pool.view(pool.head())
    (new,) = pool.samples(entry for entry in view.accepted if entry.parent_id == old["id"])
    assert (new.prompt, new.label) == (old["text"], "wifi")


def test_the_majority_counts_and_a_tie_changes_nothing(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv", reviewers=("ann", "bo", "cy"))
    votes = [("reject", "reject", "accept"), ("reject", "accept", ""), ("accept", "", ""), ("", "", "reject")]
    for row, said in zip(rows, votes, strict=False):
        row |= dict(zip(("decision.ann", "decision.bo", "decision.cy"), said, strict=True))
    done = given_back(pool, folder, rows)
    assert done.counts == {"accepted": 1, "rejected": 2, "corrected": 0, "undecided": 1, "no decision": 16}
    assert [(pair.one, pair.other, pair.rows) for pair in done.agreement] == [
        ("ann", "bo", 2),
        ("ann", "cy", 1),
        ("bo", "cy", 1),
    ]


def changed(name: str, value: str) -> Any:
    return lambda row: row.update({name: value})


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (changed("decision", "rejct"), DataError, r"sheet.csv:2: `decision` is `rejct`; did you mean `reject`\?"),
        (changed("id", ""), DataError, "sheet.csv:2: `id` is missing"),
        (changed("id", "0" * 16), DataError, "sheet.csv:2: the pool has no sample 0{16}; is this the sheet of another"),
        (changed("new_answer", "wfi"), DataError, r"sheet.csv:2: unknown label `wfi`; did you mean `wifi`\?"),
    ],
)
def test_a_mistake_in_a_sheet_is_named_and_changes_nothing(
    pool: Pool, folder: Path, change: Any, error: type[Exception], says: str
) -> None:
    rows, head = exported(pool, folder.parent / "out.csv"), pool.head()
    change(rows[0])
    with pytest.raises(error, match=says):
        given_back(pool, folder, rows)
    assert pool.head() == head


def test_a_correction_must_not_bring_a_held_out_text_in(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    held = json.loads((folder / "holdout.jsonl").read_text(encoding="utf-8").splitlines()[0])["text"]
    rows[0]["new_text"] = f" {held.upper()}!"
    with pytest.raises(LeakError, match=r"sheet.csv:2: the corrected text is held out to measure on; write another"):
        given_back(pool, folder, rows)


def test_a_correction_that_was_excluded_before_is_told(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    old = next(row for row in rows if row["answer"] == "line")
    pool.exclude({sample(old["text"], "wifi").id: "nonsense"})
    old["new_answer"] = "wifi"
    with pytest.raises(DataError, match=r"the corrected row was excluded before \(nonsense\); reject it instead"):
        given_back(pool, folder, rows)


def test_an_id_twice_is_told(pool: Pool, folder: Path) -> None:
    rows = exported(pool, folder.parent / "out.csv")
    with pytest.raises(DataError, match=f"the id {rows[0]['id']} stands in more than one row; keep one of them"):
        given_back(pool, folder, [*rows, rows[0]])


def test_corrected_samples_survive_an_export(pool: Pool, folder: Path, tmp_path: Path) -> None:
    from wheelwork.core.pool.export import export
    from wheelwork.core.pool.lookup import find_pool

    rows = exported(pool, folder.parent / "out.csv")
    rows[0]["new_text"] = "Nothing works at all today"
    given_back(pool, folder, rows)
    found = find_pool(tmp_path / "home", str(folder))
    export(found.pool, found.pool.find("head"), found.settings, "loop", "text_label", tmp_path / "set")
    texts = [row.prompt for row in read_samples(tmp_path / "set" / "data.jsonl", task="classify")]
    assert "Nothing works at all today" in texts and rows[0]["text"] not in texts and len(texts) == 80


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.jsonl"])
def test_what_no_file_can_hold_is_written_as_people_can_see_it(name: str, tmp_path: Path) -> None:
    rows = [dict.fromkeys(SHOWN, "") | {"id": "1", "answer": "one\0two", "text": "long " * LONGEST}]
    write_sheet(tmp_path / name, rows)
    ((_, row),) = read_rows(tmp_path / name)
    assert row["answer"] == "one\N{SYMBOL FOR NULL}two"
    assert len(row["text"]) == LONGEST + 2 and row["text"].endswith(" …")
