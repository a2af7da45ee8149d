"""Promotion as compare-and-swap, rollback, and the reconciler, on a registry in memory."""

import json
from pathlib import Path

import pytest
from wheelwork.core.errors import RegistryError
from wheelwork.core.registry.journal import Entry, Who
from wheelwork.tests.core.registry.parts import FakeRegistry, fingerprint, judged, moves

BO = Who(user="bo", host="box")


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry().registered("1", "2", "3")


def told(home: Path, registry: FakeRegistry) -> list[tuple[str, str, str | None, str | None]]:
    """Kind, state, before and after of every line."""
    entries: list[Entry] = list(moves(home, registry).journal.entries())
    return [(one.move.kind, one.state, one.move.before, one.move.after) for one in entries]


def lines_of(home: Path, registry: FakeRegistry) -> int:
    return len(told(home, registry))


# judging


def test_the_first_promotion_is_against_the_base(tmp_path: Path, registry: FakeRegistry) -> None:
    done = moves(tmp_path, registry).judge(judged("1", None))
    assert (done.status, done.champion, done.before, done.note) == ("promoted", "1", None, "")
    assert registry.pointing == {"candidate": "1", "champion": "1"}
    assert told(tmp_path, registry) == [
        ("judge", "begun", None, "1"),
        ("judge", "done", None, "1"),
        ("promote", "begun", None, "1"),
        ("promote", "done", None, "1"),
    ]


def test_the_version_is_tagged_with_verdict_rival_and_what_was_measured(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1", "rejected"))
    assert registry.versions["1"]["previous_champion"] == "" and registry.versions["2"]["previous_champion"] == "1"
    assert registry.versions["2"]["verdict"] == "rejected"
    found = fingerprint(adapter="adapter-2")
    assert registry.versions["2"]["fingerprint"] == found.digest
    assert json.loads(registry.versions["2"]["fingerprint_parts"]) == found.model_dump()


@pytest.mark.parametrize("verdict", ["rejected", "inconclusive"])
def test_who_lost_never_becomes_champion(tmp_path: Path, registry: FakeRegistry, verdict: str) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    done = moves(tmp_path, registry).judge(judged("2", "1", verdict))
    assert (done.status, done.champion) == ("stays", "1")
    assert registry.pointing == {"candidate": "2", "champion": "1"}


@pytest.mark.parametrize("verdict", ["promoted", "rejected"])
def test_doing_it_twice_changes_nothing(tmp_path: Path, registry: FakeRegistry, verdict: str) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1", verdict))
    before, pointing = lines_of(tmp_path, registry), dict(registry.pointing)
    done = moves(tmp_path, registry).judge(judged("2", "1", verdict))
    assert done.status == ("already" if verdict == "promoted" else "stays") and not done.note
    assert (lines_of(tmp_path, registry), registry.pointing) == (before, pointing)


def test_of_two_that_beat_the_same_champion_the_second_is_refused(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    done = moves(tmp_path, registry).judge(judged("3", "1"))
    assert (done.status, done.champion) == ("refused", "2")
    assert registry.pointing == {"candidate": "3", "champion": "2"}
    assert "judged better than version 1, but version 2 is champion since 2027-01-15" in done.note
    assert "by ann@desk, run brave-fox" in done.note and "same seed" in done.note
    assert told(tmp_path, registry)[-1] == ("refuse", "done", "2", "2")
    moves(tmp_path, registry).judge(judged("3", "1"))
    assert [kind for kind, *_ in told(tmp_path, registry)].count("refuse") == 1


def test_refused_it_may_win_against_the_new_champion(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    moves(tmp_path, registry).judge(judged("3", "1"))
    assert moves(tmp_path, registry).judge(judged("3", "2")).status == "promoted"
    assert registry.pointing["champion"] == "3" and registry.versions["3"]["previous_champion"] == "2"


def test_what_is_refused_is_no_measurement_of_the_champion(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    moves(tmp_path, registry).judge(judged("3", "1"))
    past = moves(tmp_path, registry).catch_up()
    assert past.measured("2") == fingerprint(adapter="adapter-2")


def test_a_round_that_is_given_again_later_is_told_what_became_of_it(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    done = moves(tmp_path, registry).judge(judged("1", None))
    assert (done.status, done.champion) == ("already", "2")
    assert "version 1 was promoted" in done.note and "replaced" in done.note
    assert registry.pointing == {"candidate": "2", "champion": "2"}
    assert registry.versions["1"]["verdict"] == "promoted"


def test_a_stricter_look_at_the_champions_own_round_takes_nothing_away(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    done = moves(tmp_path, registry).judge(judged("1", None, "inconclusive"))
    assert done.status == "already" and "is the champion" in done.note
    assert registry.versions["1"]["verdict"] == "promoted"


# whom a round is judged against


def test_the_rival_is_the_champion_or_whom_the_candidate_replaced(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    past = moves(tmp_path, registry).catch_up()
    assert past.rival("new", "2", "adapter-2") == "2"
    assert past.rival("adapter-2", "2", "adapter-2") == "1"
    assert past.rival("adapter-1", "2", "adapter-2") is None
    assert past.set_out_from("new round", "2") == "2"
    assert past.set_out_from("0002-abc", "2") == "1"


def test_after_a_rollback_rounds_are_judged_against_who_came_back(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    moves(tmp_path, registry).roll_back()
    past = moves(tmp_path, registry).catch_up()
    assert past.champion == "1" == past.rival("new", "1", "adapter-1")
    assert moves(tmp_path, registry).judge(judged("3", "2")).status == "refused"
    assert moves(tmp_path, registry).judge(judged("3", "1")).status == "promoted"


def test_a_round_that_was_rolled_back_is_not_promoted_by_giving_it_again(
    tmp_path: Path, registry: FakeRegistry
) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    moves(tmp_path, registry).judge(judged("2", "1"))
    moves(tmp_path, registry).roll_back(reason="rude answers")
    done = moves(tmp_path, registry).judge(judged("2", "1"))
    assert (done.status, done.champion) == ("already", "1")
    assert "rolled back" in done.note and "`wheelwork rollback tiny --to 2` puts it back" in done.note
    assert registry.pointing["champion"] == "1"
    assert moves(tmp_path, registry).roll_back("2").status == "rolled_back"
    again = moves(tmp_path, registry).judge(judged("2", "1"))
    assert (again.status, again.champion, again.note) == ("already", "2", "")


def test_a_champion_by_hand_is_judged_against_whom_it_replaced(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    registry.pointing["champion"] = "2"
    past = moves(tmp_path, registry).catch_up()
    assert past.rival("adapter-2", "2", "adapter-2") == "1"
    done = moves(tmp_path, registry).judge(judged("2", "1"))
    assert (done.status, done.champion) == ("stays", "2")


# rolling back


def three(home: Path, registry: FakeRegistry) -> None:
    for version, against in (("1", None), ("2", "1"), ("3", "2")):
        assert moves(home, registry).judge(judged(version, against)).status == "promoted"


def test_it_goes_to_the_champion_before_and_twice_is_as_once(tmp_path: Path, registry: FakeRegistry) -> None:
    three(tmp_path, registry)
    done = moves(tmp_path, registry, BO).roll_back(reason="complaints")
    assert (done.status, done.champion, done.before) == ("rolled_back", "2", "3")
    before = lines_of(tmp_path, registry)
    again = moves(tmp_path, registry).roll_back()
    assert (again.status, again.champion) == ("already", "2")
    assert "version 2 is champion already, since" in again.note and "by bo@box" in again.note
    assert "--to" in again.note and lines_of(tmp_path, registry) == before
    assert registry.pointing == {"candidate": "3", "champion": "2"}


def test_it_goes_where_it_is_told_and_back(tmp_path: Path, registry: FakeRegistry) -> None:
    three(tmp_path, registry)
    assert moves(tmp_path, registry).roll_back("1").champion == "1"
    assert moves(tmp_path, registry).roll_back("1").status == "already"
    assert moves(tmp_path, registry).roll_back("v3").champion == "3"
    assert registry.pointing["champion"] == "3"


def test_from_the_first_it_goes_to_the_base(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    done = moves(tmp_path, registry).roll_back()
    assert (done.status, done.champion, done.before) == ("rolled_back", None, "1")
    assert "champion" not in registry.pointing
    assert moves(tmp_path, registry).roll_back().status == "already"
    assert moves(tmp_path, registry).roll_back("base").status == "already"
    assert moves(tmp_path, registry).judge(judged("2", None)).status == "promoted"


def test_what_cannot_be_is_refused_with_what_can(tmp_path: Path, registry: FakeRegistry) -> None:
    with pytest.raises(RegistryError, match=r"has no champion yet.*wheelwork improve"):
        moves(tmp_path, registry).roll_back()
    assert registry.told == {}
    three(tmp_path, registry.registered("4"))
    with pytest.raises(RegistryError, match="there is no version 9; champion so far: 1, 2, 3"):
        moves(tmp_path, registry).roll_back("9")
    with pytest.raises(RegistryError, match="version 4 was never champion; say with --reason why"):
        moves(tmp_path, registry).roll_back("4")
    assert moves(tmp_path, registry).roll_back("4", "asked for by the shop").champion == "4"


def test_a_champion_before_that_was_deleted_is_told(tmp_path: Path, registry: FakeRegistry) -> None:
    three(tmp_path, registry)
    del registry.versions["2"]
    with pytest.raises(RegistryError, match="version 2 is not in MLflow any more; name another with --to"):
        moves(tmp_path, registry).roll_back()


# what others did


def test_an_alias_that_a_person_moved_is_seen_and_left(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    registry.pointing["champion"] = "3"
    past = moves(tmp_path, registry, BO).catch_up()
    assert registry.pointing["champion"] == "3" == past.champion
    assert past.last is not None and past.last.move.kind == "outside"
    assert "moved outside wheelwork" in past.last.move.reason and past.last.move.before == "1"
    before = lines_of(tmp_path, registry)
    moves(tmp_path, registry).catch_up()
    assert lines_of(tmp_path, registry) == before
    assert moves(tmp_path, registry).roll_back().champion == "1"


def test_an_alias_that_a_person_took_away_is_seen(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    del registry.pointing["champion"]
    assert moves(tmp_path, registry).catch_up().champion is None
    assert told(tmp_path, registry)[-1] == ("outside", "done", "1", None)


def test_tags_that_a_person_changed_are_set_again(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    registry.versions["1"] |= {"verdict": "rejected", "fingerprint": "none"}
    moves(tmp_path, registry).catch_up()
    assert registry.versions["1"]["verdict"] == "promoted"
    assert registry.versions["1"]["fingerprint"] == fingerprint(adapter="adapter-1").digest
    last = list(moves(tmp_path, registry).journal.entries())[-1]
    assert last.move.kind == "repair" and "fingerprint, verdict" in last.move.reason


def test_what_another_folder_promoted_is_told_with_who_did(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path / "a", registry).judge(judged("1", None))
    moves(tmp_path / "b", registry, BO).judge(judged("2", "1"))
    past = moves(tmp_path / "a", registry).catch_up()
    assert past.champion == "2" and past.last is not None
    assert "moved from another state folder: promote by bo@box at 2027" in past.last.move.reason
    assert moves(tmp_path / "a", registry).judge(judged("3", "1")).status == "refused"


def test_an_install_without_a_journal_begins_with_what_stands_there(tmp_path: Path, registry: FakeRegistry) -> None:
    registry.versions["2"] |= {"verdict": "promoted", "previous_champion": "1"}
    registry.versions["3"] |= {"verdict": "rejected", "previous_champion": "2"}
    registry.pointing = {"champion": "2", "candidate": "3"}
    past = moves(tmp_path, registry).catch_up()
    assert told(tmp_path, registry) == [("start", "done", None, "3"), ("start", "done", "1", "2")]
    assert past.rival("adapter-2", "2", "adapter-2") == "1" and past.set_out_from("0002-abc", "2") == "1"
    assert moves(tmp_path, registry).judge(judged("2", "1")).status == "already"
    assert moves(tmp_path, registry).roll_back().champion == "1"


def test_catching_up_with_nothing_makes_no_journal(tmp_path: Path) -> None:
    registry = FakeRegistry()
    past = moves(tmp_path, registry).catch_up()
    assert past.champion is None and past.last is None
    assert not (tmp_path / "registry").exists() and registry.told == {}


def test_what_was_measured_anew_is_written_down_once(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    newer = fingerprint(adapter="adapter-1", engine="newer")
    for _ in range(2):
        moves(tmp_path, registry).measured("1", newer, round="0002-abc")
    assert [kind for kind, *_ in told(tmp_path, registry)].count("measure") == 1
    assert registry.versions["1"]["fingerprint"] == newer.digest
    past = moves(tmp_path, registry).catch_up()
    assert past.measured("1") == newer and past.champion == "1" and len(past.champions) == 1


# the journal and MLflow


def test_a_journal_that_lost_its_end_is_told(tmp_path: Path, registry: FakeRegistry) -> None:
    three(tmp_path, registry)
    path = moves(tmp_path, registry).journal.path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(RegistryError, match="MLflow knows 12 lines of this journal, and 10 are there"):
        moves(tmp_path, registry).catch_up()
    path.unlink()
    past = moves(tmp_path, registry).catch_up()
    assert past.last is not None and "one of 12 lines was in this folder before" in past.last.move.reason
    assert moves(tmp_path, registry).roll_back().champion == "2"


def test_a_damaged_journal_moves_nothing(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    path = moves(tmp_path, registry).journal.path
    path.write_bytes(path.read_bytes().replace(b"0.9", b"0.8"))
    with pytest.raises(RegistryError, match=r"journal\.jsonl:1: "):
        moves(tmp_path, registry).judge(judged("2", "1"))
    assert registry.pointing == {"candidate": "1", "champion": "1"}


def test_a_line_that_a_crash_cut_short_is_told(tmp_path: Path, registry: FakeRegistry) -> None:
    moves(tmp_path, registry).judge(judged("1", None))
    with moves(tmp_path, registry).journal.path.open("ab") as stream:
        stream.write(b'{"at":"20')
    moves(tmp_path, registry).catch_up()
    last = list(moves(tmp_path, registry).journal.entries())[-1]
    assert last.move.kind == "repair" and "cut short after 9 bytes" in last.move.reason


# a canary


def test_what_a_canary_decides_is_told_and_moves_nothing(tmp_path: Path, registry: FakeRegistry) -> None:
    ours = moves(tmp_path, registry)
    ours.judge(judged("1", None))
    figures: dict[str, dict[str, float | None]] = {"errors": {"candidate": 0.06, "champion": 0.01, "p_value": None}}
    ours.tell_canary("1", "5% of users: widened", figures)
    last = list(ours.journal.entries())[-1]
    assert (last.move.kind, last.move.before, last.move.after, last.moved) == ("canary", "1", "1", False)
    assert last.move.reason == "5% of users: widened" and last.move.figures == figures
    assert registry.pointing["champion"] == "1" and ours.catch_up().champion == "1"


def test_a_canary_takes_back_its_own_candidate_alone(tmp_path: Path, registry: FakeRegistry) -> None:
    ours = moves(tmp_path, registry)
    ours.judge(judged("1", None))
    ours.judge(judged("2", "1"))
    ours.judge(judged("3", "2"))  # promoted while the canary was about to leave 2
    done = ours.roll_back("1", "canary: harm", leaving="2")
    assert (done.status, done.champion) == ("already", "3") and registry.pointing["champion"] == "3"
    done = ours.roll_back("1", "canary: harm", leaving="3")
    assert (done.status, done.champion) == ("rolled_back", "1")
