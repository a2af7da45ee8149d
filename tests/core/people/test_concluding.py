"""The pool takes in what people said of rows that the batch's draw then left out."""

import json
from pathlib import Path

import pytest
from wheelwork.core.artifacts import Artifact
from wheelwork.core.loops import load_loop
from wheelwork.core.people.concluding import take_in_review
from wheelwork.core.people.deciding import PeopleReviewed, decide_samples
from wheelwork.core.people.desk import Asked, Decision, Desk, shown_rows
from wheelwork.core.pool.fitting import Present
from wheelwork.core.pool.reviewing import take_in
from wheelwork.core.pool.sheet import pick, sheet_rows
from wheelwork.core.pool.store import Pool
from wheelwork.core.quality.batch.sampling import NOT_SAMPLED
from wheelwork.core.samples import Sample
from wheelwork.tests.core.pool.rows import conclude, facts, samples
from wheelwork.tests.e2e.command import tiny_loop


class Round:
    """Six rows of a round, all on the desk; people decide on some, and the draw leaves out those from `drawn` on."""

    def __init__(self, folder: Path) -> None:
        self.loop = tiny_loop(folder / "loop", models=False)
        self.pool = Pool(folder / "home", "tiny")
        self.rows = samples(6)
        self.desk = Desk(folder / "home" / "reviews" / "tiny" / "0000-abcdef01-0")
        kept = self.pool.store.write_samples(self.rows)
        shown = shown_rows(sheet_rows(pick(self.rows, 6, "", 0), {one.id: one for one in self.rows}, ""))
        self.desk.lay(Asked(round="0000-abcdef01", digest=kept.digest, kept=6, rows=shown))

    def say(self, row: Sample, decision: str = "", new_answer: str = "") -> None:
        votes = {"": decision} if decision else {}
        self.desk.give([Decision(id=row.id, by="s.csv", line=2, votes=votes, new_answer=new_answer)])

    def train(self, drawn: int) -> tuple[PeopleReviewed, Artifact]:
        """Take the decisions, draw, and conclude a round that the gate rejected."""
        taken = self.desk.take("sheet", 0.0)
        present: Present = load_loop(self.loop).present
        settled = decide_samples(self.rows, taken.decisions, present, "required", 6)
        trained, left_out = settled.kept[:drawn], [one.rejected(NOT_SAMPLED) for one in settled.kept[drawn:]]
        file = self.pool.store.write_samples(trained)
        told = facts(0, "rejected", len(trained))
        self.pool.conclude_round(told, file, excluded=settled.reviewed.excluded)
        people = settled.reviewed.model_copy(update={"sheet": str(self.desk.sheet)})
        return people, self.pool.store.write_samples([*settled.dropped, *left_out])

    def marks(self) -> dict[str, str | None]:
        """What the pool holds, by text."""
        view = self.pool.view(self.pool.head())
        return {one.prompt: view.entries[one.id].mark for one in self.pool.samples(view.entries.values())}


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    return Round(tmp_path)


def test_what_people_vouch_for_is_accepted_though_it_was_not_drawn(round_: Round) -> None:
    rows = round_.rows
    round_.say(rows[0], "accept")
    round_.say(rows[3], "accept")
    round_.say(rows[4], new_answer="line" if rows[4].label != "line" else "wifi")
    people, dropped = round_.train(drawn=2)
    line = take_in_review(round_.pool, round_.loop, people, dropped)
    assert line is not None and line.accepted == 3
    accepted = {text for text, mark in round_.marks().items() if mark is None}
    assert accepted == {rows[0].prompt, rows[3].prompt, rows[4].prompt}
    assert round_.marks()[rows[5].prompt] == "inconclusive", "it was shown, and nobody said anything"
    assert take_in_review(round_.pool, round_.loop, people, dropped) is None


def test_a_late_word_on_what_was_not_drawn_changes_the_pool(round_: Round) -> None:
    rows = round_.rows
    people, dropped = round_.train(drawn=2)
    round_.say(rows[3], "accept")
    round_.say(rows[4], "reject")
    take_in_review(round_.pool, round_.loop, people, dropped)
    marks = round_.marks()
    assert marks[rows[3].prompt] is None and rows[4].prompt not in marks
    assert set(round_.pool.excluded()) == {rows[4].id} and round_.desk.concluded


def test_a_sheet_after_the_round_may_name_what_was_not_drawn(round_: Round, tmp_path: Path) -> None:
    people, dropped = round_.train(drawn=2)
    take_in_review(round_.pool, round_.loop, people, dropped)
    asked = round_.desk.asked()
    assert asked is not None
    sheet = tmp_path / "s.jsonl"
    sheet.write_text("".join(json.dumps(row | {"decision": "accept"}) + "\n" for row in asked.rows), encoding="utf-8")
    assert take_in(round_.pool, round_.loop, sheet).counts["accepted"] == 6


def test_a_late_word_on_a_text_that_the_pool_holds_as_another_does_not_stop_the_round(round_: Round) -> None:
    rows = round_.rows
    relabelled = Sample.make(rows[0].messages, task=rows[0].task, label="bill", origin="teacher")
    conclude(round_.pool, 7, [relabelled])
    people, dropped = round_.train(drawn=6)
    round_.say(rows[0], "reject")
    round_.say(rows[1], "accept")
    take_in_review(round_.pool, round_.loop, people, dropped)
    assert set(round_.pool.excluded()) == {rows[0].id} and round_.marks()[rows[1].prompt] is None
