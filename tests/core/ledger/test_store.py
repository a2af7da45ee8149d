"""The ledger on disk: what comes in stays, what is said against it is told, and a kill leaves whole lines."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from wheelwork.core.errors import DataError
from wheelwork.core.ledger.store import Ledger, Taken, added_up
from wheelwork.core.lines import add_lines
from wheelwork.tests.core.ledger.rows import an_entry, entries

NOON = 1_800_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, "tiny", clock=lambda: NOON)


def test_reading_a_ledger_that_is_not_there_makes_no_file(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.held() == {} and ledger.lines() == () and ledger.opened_by("0000-a") == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_added_stays_and_twice_is_once(ledger: Ledger) -> None:
    first = ledger.add(entries(3), replace=False, who="ann", why="a sheet")
    again = ledger.add(entries(4), replace=False)
    assert (len(first.added), len(again.added), len(again.same)) == (3, 1, 3)
    assert [line.action for line in ledger.lines()] == ["add"] * 4
    assert ledger.lines()[0].at == "2027-01-15T08:00:00+00:00" and ledger.lines()[0].who == "ann"
    assert all(one.active and not one.once_right for one in ledger.held().values())


def test_the_question_names_an_entry_not_its_case_or_what_is_right() -> None:
    plain, loud, other = an_entry("is it on"), an_entry("Is  it ON?"), an_entry("is it on", "no")
    assert plain.id == loud.id == other.id and plain.right == loud.right != other.right


def test_a_contradiction_is_told_and_only_an_explicit_one_replaces(ledger: Ledger) -> None:
    old, new = an_entry("is it on", "yes", by="ann"), an_entry("is it on", "no", by="bo")
    ledger.add([old], replace=False)
    left = ledger.add([new], replace=False)
    assert left.against == ((new, old),) and "say otherwise" in left.sentence
    assert ledger.held()[old.id].entry == old
    assert ledger.add([new], replace=True).replaced == (old.id,)
    assert ledger.held()[old.id].entry == new
    assert [(line.action, line.who) for line in ledger.history(old.id)] == [("add", "ann"), ("replace", "bo")]


def test_what_a_round_fixed_neither_replaces_nor_is_replaced(ledger: Ledger) -> None:
    said, fixed = an_entry("is it on", "yes"), an_entry("is it on", "no", "round")
    ledger.add([said], replace=True)
    assert ledger.add([fixed], replace=True).against == ((fixed, said),)
    held_out = an_entry("is it off", "yes", "round")
    ledger.add([held_out], replace=True)
    assert ledger.add([an_entry("is it off", "no")], replace=True).replaced == ()
    assert ledger.held()[held_out.id].entry.held_out


def test_a_retirement_has_a_reason_and_can_be_taken_back(ledger: Ledger) -> None:
    (id,) = ledger.add([an_entry("is it on")], replace=False).added
    assert ledger.retire(id, who="ann", why="the product is gone") is True
    assert ledger.retire(id, who="ann", why="again") is False
    assert not ledger.held()[id].active
    assert ledger.add([an_entry("is it on")], replace=True).same == (id,)  # the same again does not bring it back
    assert not ledger.held()[id].active
    assert ledger.restore(id, who="bo") is True and ledger.held()[id].active
    assert [line.action for line in ledger.history(id)] == ["add", "retire", "restore"]


def test_the_beginning_of_an_id_finds_it(ledger: Ledger) -> None:
    (id,) = ledger.add([an_entry("is it on")], replace=False).added
    assert ledger.find(id[:6]) == id
    for name in (id[:2], "zzzzzz"):
        with pytest.raises(DataError, match="ledger list tiny --retired"):
            ledger.find(name)


# rounds


def test_a_round_that_is_given_again_sees_the_ledger_it_was_opened_with(ledger: Ledger) -> None:
    ledger.add(entries(2), replace=False)
    opened = ledger.opened_by("0001-a")
    ledger.add(entries(1, start=5), replace=False)  # somebody, while it ran
    first = ledger.conclude_round("0001-a", opened, [], entries(2, "round", start=10), [])
    assert len(first.added) == 2 and opened == 2
    assert ledger.opened_by("0001-a") == 2 and len(ledger.held(2)) == 2 and len(ledger.held()) == 5
    before = ledger.path.read_bytes()
    again = ledger.conclude_round("0001-a", ledger.opened_by("0001-a"), [], entries(2, "round", start=10), [])
    assert again.added == () and ledger.path.read_bytes() == before
    assert ledger.opened_by("0002-a") == len(ledger.lines())


def test_a_round_judged_anew_is_remembered_by_its_last_judgement(ledger: Ledger) -> None:
    ledger.conclude_round("0001-a", 0, entries(1), [], [])
    ledger.conclude_round("0001-a", len(ledger.lines()), [], [], [])
    assert ledger.opened_by("0001-a") == 2


def test_what_a_champion_got_right_is_remembered_once(ledger: Ledger) -> None:
    said = ledger.add(entries(2), replace=False).added
    ledger.conclude_round("0001-a", 2, [], entries(1, "round", start=9), [said[0], "unknown"])
    ledger.conclude_round("0002-a", 5, [], [], [said[0]])
    assert [one.once_right for one in ledger.held().values()] == [True, False, True]
    assert [line.ids for line in ledger.lines() if line.action == "learnt"] == [(said[0],)]


def test_what_was_replaced_has_to_be_learnt_anew(ledger: Ledger) -> None:
    (id,) = ledger.add([an_entry("is it on", "yes")], replace=False).added
    ledger.conclude_round("0001-a", 1, [], [], [id])
    assert ledger.held()[id].once_right
    ledger.add([an_entry("is it on", "no")], replace=True)
    assert not ledger.held()[id].once_right


# the file


@given(cut=some.integers(min_value=0))
def test_a_kill_anywhere_leaves_whole_lines_and_the_next_change_mends_the_end(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("home"), "tiny", clock=lambda: NOON)
    ledger.add(entries(3), replace=False)
    whole = ledger.path.read_bytes()
    kept = whole[: cut % (len(whole) + 1)]
    ledger.path.write_bytes(kept)
    read = ledger.lines()
    assert len(read) == kept.count(b"\n")
    taken = ledger.add(entries(3), replace=False)
    assert len(taken.added) == 3 - len(read)
    assert ledger.path.read_bytes() == whole


def test_a_damaged_line_is_refused_by_its_number(ledger: Ledger) -> None:
    ledger.add(entries(2), replace=False)
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"action":"add"', b'"action":"??"', 1))
    with pytest.raises(DataError, match=r"tiny\.jsonl:1: this line of the ledger is damaged"):
        ledger.held()


def test_nothing_to_add_writes_nothing(tmp_path: Path) -> None:
    add_lines(tmp_path / "none.jsonl", [])
    assert list(tmp_path.iterdir()) == [] and added_up([]) == {}
    assert Taken((), (), (), ()).sentence == ""
