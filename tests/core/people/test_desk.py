"""A desk keeps what people said, whoever is killed; a form and a sheet say the same; samples are as they decided."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError
from wheelwork.core.artifacts import ArtifactStore
from wheelwork.core.errors import ConfigError, DataError, LeakError
from wheelwork.core.loops import LoopSettings, load_loop
from wheelwork.core.people.deciding import REASON, Settled, decide_samples
from wheelwork.core.people.desk import (
    Asked,
    Decision,
    Desk,
    desk_with,
    known_before,
    shown_rows,
    turned_down_by,
    waiting_desk,
)
from wheelwork.core.people.form import AS_IT_IS, REST, decisions_in, form_of
from wheelwork.core.people.giving import lay_decisions
from wheelwork.core.people.settings import PeopleReview
from wheelwork.core.pool.sheet import pick, read_sheet, sheet_rows, write_sheet
from wheelwork.core.samples import Sample
from wheelwork.tests.core.pool.rows import samples
from wheelwork.tests.e2e.command import rows, tiny_loop, write_config

ROUND = "0000-abcdef01"
LABELS = ("line", "wifi", "bill")


def said(row: Sample, decision: str = "", by: str = "sheet.csv", reviewer: str = "", **rest: str) -> Decision:
    return Decision(id=row.id, by=by, line=2, votes={reviewer: decision} if decision else {}, **rest)


class Office:
    """A loop, a round of it that kept eight samples, and the desk on which six of them lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = tiny_loop(folder / "loop", models=False)
        self.home = folder / "home"
        self.store = ArtifactStore(str(self.home / "artifacts"))
        self.samples = samples(8)
        self.desk = self.laid(ROUND)

    def laid(self, round_id: str) -> Desk:
        kept = self.store.write_samples(self.samples)
        desk = Desk(self.home / "reviews" / "tiny" / f"{round_id}-{kept.digest[:8]}")
        shown = sheet_rows(
            pick(self.samples, 6, "label_margin", 0), {one.id: one for one in self.samples}, "label_margin"
        )
        desk.lay(Asked(round=round_id, digest=kept.digest, kept=8, labels=LABELS, rows=shown_rows(shown)))
        return desk

    @property
    def on_desk(self) -> list[Sample]:
        asked = self.desk.asked()
        assert asked is not None
        by_id = {one.id: one for one in self.samples}
        return [by_id[id] for id in asked.ids]

    def decide(self, *decisions: Decision) -> Settled:
        return decide_samples(self.samples, decisions, load_loop(self.folder).present, "required", 6)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


# the desk


def test_rows_wait_until_each_has_a_word_or_somebody_leaves_the_rest(office: Office) -> None:
    first, second, *others = office.on_desk
    assert len(office.desk.left()) == 6
    office.desk.give([said(first, "accept"), said(second)])  # an empty row says nothing
    assert office.desk.left() == tuple(one.id for one in (second, *others))
    office.desk.give([said(second, new_answer="bill")])
    assert len(office.desk.left()) == 4
    office.desk.give([], rest=True)
    assert office.desk.left() == ()


def test_a_later_word_counts_before_an_earlier_one_and_people_add_up(office: Office) -> None:
    row = office.on_desk[0]
    office.desk.give([said(row, "accept", reviewer="ann", new_text="better")])
    office.desk.give([said(row, "reject", reviewer="bo")])
    office.desk.give([said(row, "reject", reviewer="ann")])
    found = office.desk.given()[row.id]
    assert found.votes == {"ann": "reject", "bo": "reject"} and found.new_text == "better"


def test_a_line_that_a_kill_cut_short_does_not_count(office: Office) -> None:
    first, second, *_ = office.on_desk
    office.desk.give([said(first, "accept")])
    with (office.desk.folder / "given.jsonl").open("ab") as stream:
        stream.write(b'{"at":"2026')
    assert set(office.desk.given()) == {first.id}
    office.desk.give([said(second, "accept")])
    assert set(office.desk.given()) == {first.id, second.id}


def test_what_the_round_took_stays_and_what_comes_later_is_late(office: Office) -> None:
    first, second, *_ = office.on_desk
    office.desk.give([said(first, "accept")])
    assert office.desk.late() == []
    assert [row.id for row in office.desk.take("timeout", 3.0).decisions] == [first.id]
    office.desk.give([said(second, "reject")])
    taken = office.desk.taken()
    assert taken is not None and taken.ended == "timeout" and [row.id for row in taken.decisions] == [first.id]
    assert [row.id for row in office.desk.late()] == [second.id]


def test_a_desk_that_is_opened_anew_asks_for_everything(office: Office) -> None:
    office.desk.give([said(office.on_desk[0], "accept")], rest=True)
    office.desk.take("sheet", 0.0)
    office.desk.reopen()
    assert len(office.desk.left()) == 6 and office.desk.taken() is None
    assert (office.desk.folder / "before.taken.json").exists()


def test_a_sheet_finds_its_desk_until_the_round_has_ended(office: Office) -> None:
    ids = [office.on_desk[0].id]
    found = desk_with(office.home, "tiny", ids)
    assert found is not None and found.folder == office.desk.folder
    assert desk_with(office.home, "tiny", [*ids, "0" * 16]) is None and desk_with(office.home, "other", ids) is None
    waiting = waiting_desk(office.home, "tiny")
    assert waiting is not None and waiting.folder == office.desk.folder
    office.desk.take("sheet", 0.0)
    office.desk.conclude()
    assert desk_with(office.home, "tiny", ids) is None and waiting_desk(office.home, "tiny") is None


def test_nobody_is_asked_twice_about_a_row_and_a_round_knows_what_it_left_out_itself(office: Office) -> None:
    first, second, third, *_ = office.on_desk
    office.desk.give([said(first, "reject"), said(second, "accept"), said(third, new_answer="bill")])
    office.desk.take("sheet", 0.0)
    assert {row.id for row in known_before(office.home, "tiny", [first.id, second.id, "0" * 16])} == {
        first.id,
        second.id,
    }
    assert turned_down_by(office.home, "tiny", ROUND) == {first.id, third.id}
    assert turned_down_by(office.home, "tiny", "0001-abcdef01") == set()


def test_a_decided_sheet_is_checked_before_any_of_it_counts(office: Office, tmp_path: Path) -> None:
    asked = office.desk.asked()
    assert asked is not None
    path = tmp_path / "back.jsonl"
    write_sheet(path, [dict(row) for row in asked.rows])
    read = [row._replace(votes={"": "accept"}) for row in read_sheet(path)]
    for wrong, error in (("wify", DataError), (rows(1, start=100)[0]["text"], LeakError)):
        key = "new_answer" if error is DataError else "new_text"
        with pytest.raises(error, match=r"back\.jsonl:2: "):
            lay_decisions(
                office.desk, office.store, office.folder, path, [read[1]._replace(**{key: wrong}), *read[2:]], False
            )
    assert office.desk.given() == {}
    laid = lay_decisions(office.desk, office.store, office.folder, path, read[:4], False)
    assert (laid.round, laid.decided, laid.left, laid.late) == (ROUND, 4, 2, False)
    office.desk.take("timeout", 0.0)
    assert lay_decisions(office.desk, office.store, office.folder, path, read[4:], False).late


# the samples


def test_rejected_rows_leave_with_a_reason_and_corrected_ones_take_their_own_place(office: Office) -> None:
    one, two, three, *_ = office.samples
    other = "wifi" if two.label != "wifi" else "bill"
    kept, dropped, reviewed = office.decide(said(one, "reject"), said(two, new_answer=other), said(three, "accept"))
    assert [(row.id, row.reject_reason) for row in dropped] == [(one.id, REASON)]
    assert (kept[0].parent_id, kept[0].label, kept[0].prompt, kept[0].origin) == (two.id, other, two.prompt, "feedback")
    assert kept[1:] == office.samples[2:]
    assert reviewed.rejected == (one.id,) and reviewed.accepted == (three.id,)
    assert reviewed.corrected == {two.id: kept[0].id} and reviewed.vouched == (three.id, kept[0].id)
    assert reviewed.excluded == {one.id: "rejected in the review of its round", two.id: f"corrected to {kept[0].id}"}
    assert reviewed.summary()["decided"] == 3 and reviewed.summary()["asked"] == 6


def test_a_correction_that_says_what_another_row_says_removes_its_own(office: Office) -> None:
    one, two, *_ = office.samples
    kept, dropped, reviewed = office.decide(said(one, new_text=two.prompt, new_answer=str(two.label)))
    assert kept == office.samples[1:] and [row.id for row in dropped] == [one.id] and reviewed.corrected == {}


def test_a_tie_changes_nothing_and_is_told(office: Office) -> None:
    row = office.samples[0]
    tied = said(row, "accept", reviewer="ann").model_copy(update={"votes": {"ann": "accept", "bo": "reject"}})
    kept, dropped, reviewed = office.decide(tied)
    assert (kept, dropped) == (office.samples, []) and reviewed.undecided == 1
    assert reviewed.pairs == (("ann", "bo", 1, 0.0, 0.0),)


def test_people_are_compared_with_the_judge_where_it_gave_a_grade(office: Office) -> None:
    grades = (4.7, 4.0, 2.0, 3.9, None)
    office.samples = [
        row if grade is None else row.with_scores(judge=grade)
        for row, grade in zip(office.samples, grades, strict=False)
    ]
    words = ("accept", "reject", "reject", "reject", "accept")
    _, _, reviewed = office.decide(*(said(row, word) for row, word in zip(office.samples, words, strict=False)))
    judge = reviewed.judge
    assert judge is not None and (judge.rows, judge.share) == (4, 0.75)
    assert judge.kappa == pytest.approx(0.5) and judge.alpha == pytest.approx(1 - 7 * 2 / (2 * 15))
    assert "People and the judge agree on 75% of 4 rows" in judge.sentence and "κ 0.50" in judge.sentence
    assert office.decide(said(office.samples[4], "accept"))[2].judge is None


# the form


class Base(BaseModel):
    model_config = ConfigDict(extra="forbid")


def test_a_form_that_is_sent_as_it_came_says_nothing(office: Office) -> None:
    asked = office.desk.asked()
    assert asked is not None
    form = form_of(asked, office.desk.left(), Base)
    assert decisions_in(asked, form()) == ([], False)
    fields = form.model_json_schema()["properties"]
    assert len(fields) == 3 * 6 + 1
    assert (
        asked.rows[0]["text"] in fields["row_01"]["title"]
        and asked.rows[0]["answer"] in fields["row_01"]["description"]
    )
    assert fields["row_01_answer"]["enum"] == [AS_IT_IS, *LABELS]
    with pytest.raises(ValidationError):
        form(row_01="perhaps")


def test_a_form_asks_for_what_is_left_and_says_what_people_chose(office: Office) -> None:
    asked = office.desk.asked()
    assert asked is not None
    office.desk.give([said(office.on_desk[0], "accept")])
    form: Any = form_of(asked, office.desk.left(), Base)
    assert "row_01" not in form.model_fields
    given, rest = decisions_in(asked, form(row_02="reject", row_03_answer="bill", row_04_text=" so? ", **{REST: True}))
    assert rest and [row.id for row in given] == [one.id for one in office.on_desk[1:4]]
    assert given[0].votes == {"form": "reject"} and given[1].new_answer == "bill" and given[2].new_text == "so?"


# the settings


@pytest.mark.parametrize("mode", ["off", "offered", "required"])
def test_one_word_is_enough(office: Office, mode: str) -> None:
    write_config(office.folder, review=mode)
    assert load_loop(office.folder).settings.review == PeopleReview.model_validate({"mode": mode})


def test_yaml_reads_a_bare_off_as_false_and_so_do_we(office: Office) -> None:
    for off in (False, {"mode": False}):
        assert PeopleReview.model_validate(off).mode == "off"


@pytest.mark.parametrize(
    ("review", "says"),
    [
        ("requird", "`review.mode`: input should be 'off', 'offered' or 'required' (found 'requird')"),
        ({"mode": "required", "wait": "forever"}, "`review.wait`"),
        ({"mode": "required", "wait": "0h"}, "`review.wait`"),
        ({"mode": "required", "rows": 0}, "`review.rows`"),
        ({"mode": "required", "timeout": "3h"}, "unknown key `review.timeout`"),
        ({"mode": "required", "on_timeout": "accept"}, "`review.on_timeout`"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_the_door(office: Office, review: Any, says: str) -> None:
    write_config(office.folder, review=review)
    with pytest.raises(ConfigError) as raised:
        load_loop(office.folder)
    assert says in str(raised.value)


@given(st.integers(1, 999_999), st.sampled_from("smhd"))
def test_a_wait_is_seconds(number: int, unit: str) -> None:
    seconds = PeopleReview(wait=f"{number}{unit}").seconds
    assert seconds == number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def test_how_long_people_may_take_is_no_part_of_what_a_round_is(office: Office) -> None:
    def identity(**review: Any) -> Any:
        write_config(office.folder, **({"review": review} if review else {}))
        return load_loop(office.folder).digest

    without = identity()
    assert identity(mode="off", wait="3h") == without != identity(mode="required")
    assert identity(mode="required", wait="3h", on_timeout="go_on") == identity(mode="required")
    assert identity(mode="required", rows=5) != identity(mode="required")
    assert (
        "review"
        not in LoopSettings.model_validate(
            load_loop(office.folder).settings.model_dump() | {"review": {"mode": "off"}}
        ).identity
    )
