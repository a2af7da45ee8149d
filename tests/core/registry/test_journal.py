"""The journal: what is written stays, what was changed is named, and only a line that was cut short may go."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.errors import RegistryError
from wheelwork.core.registry.journal import Entry, Journal, Move, Who
from wheelwork.tests.core.registry.parts import ANN, Ticking, judged, move

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
finite = st.none() | st.floats(allow_nan=False, allow_infinity=False)
some_moves = st.builds(
    Move,
    kind=st.sampled_from(["judge", "promote", "refuse", "rollback", "outside", "measure", "repair"]),
    alias=st.sampled_from(["champion", "candidate"]),
    before=st.none() | texts,
    after=st.none() | texts,
    reason=texts,
    figures=st.dictionaries(texts, st.dictionaries(texts, finite, max_size=2), max_size=2),
)


def written(path: Path, *moves: Move) -> Journal:
    journal = Journal(path, Ticking())
    for one in moves:
        journal.append(one, ANN)
    return journal


def read(path: Path) -> list[Entry]:
    return list(Journal(path).entries())


@given(moves=st.lists(some_moves, max_size=5), who=st.builds(Who, user=texts, host=texts, run=texts))
def test_what_is_written_is_read_again_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, moves: list[Move], who: Who
) -> None:
    path = tmp_path_factory.mktemp("journal") / "x.jsonl"
    journal = Journal(path, Ticking())
    made = [journal.append(one, who, note=one.reason) for one in moves]
    assert [entry.move for entry in made] == moves
    assert read(path) == made == list(journal.entries())
    assert [entry.sequence for entry in made] == list(range(1, len(moves) + 1))


def test_a_journal_that_nobody_wrote_is_empty_and_makes_no_file(tmp_path: Path) -> None:
    assert read(tmp_path / "none" / "x.jsonl") == []
    assert Journal(tmp_path / "none" / "x.jsonl").mend() == ""
    assert list(tmp_path.iterdir()) == []


def test_each_line_holds_the_digest_of_the_one_before(tmp_path: Path) -> None:
    written(tmp_path / "x", move("1"), move("2"), move("3"))
    one, two, three = read(tmp_path / "x")
    assert (one.previous, two.previous, three.previous) == ("", one.digest, two.digest)
    assert one.at == "2027-01-15T08:00:01.000+00:00" and two.moment > one.moment


def test_two_writers_in_turn_go_on_from_each_other(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "x", Ticking()), Journal(tmp_path / "x", Ticking())
    for journal in (one, two, two, one):
        journal.append(move(), ANN)
    assert [entry.sequence for entry in read(tmp_path / "x")] == [1, 2, 3, 4]


# cut short


def test_cut_at_any_byte_only_the_last_line_goes_and_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    written(path, move("1"), move("2", reason="grüße 你好"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        kept = 2 if size == len(whole) - 1 else 1  # without but its end, the line is whole
        assert len(read(path)) == kept
        journal = Journal(path, Ticking())
        said = journal.mend()
        assert bool(said) == (first < size < len(whole) - 1)
        if said:
            assert f"{size - first} bytes" in said
            assert path.with_suffix(".torn").read_bytes() == whole[first:size] + b"\n"
            path.with_suffix(".torn").unlink()
        journal.append(move("3"), ANN)
        assert [entry.move.after for entry in read(path)] == (["1", "2", "3"] if kept == 2 else ["1", "3"])


def test_cut_within_the_first_line_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    written(path, move("1"))
    path.write_bytes(path.read_bytes()[:40])
    assert read(path) == []
    journal = Journal(path, Ticking())
    assert "40 bytes" in journal.mend() and path.read_bytes() == b""
    assert journal.append(move("2"), ANN).sequence == 1


def test_nothing_is_written_behind_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "x"
    written(path, move("1"))
    with path.open("ab") as stream:
        stream.write(b'{"at":')
    with pytest.raises(RegistryError, match="x:2: "):
        Journal(path).append(move("2"), ANN)


# changed


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_is_named_by_its_line(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "x"
    written(path, move("1"), move("2"), move("3"))
    whole = bytearray(path.read_bytes())
    place %= len(whole) - 1  # without the last line end, the line is still the one that was written
    if whole[place] == byte:
        return
    number = whole.count(b"\n", 0, place) + 1
    whole[place] = byte
    path.write_bytes(whole)
    if number == 3 and byte != 0x0A and b"\n" in whole[place:]:
        with pytest.raises(RegistryError, match=":3: this line of the journal was changed"):
            read(path)
    else:
        with pytest.raises(RegistryError, match=rf":({number}|{number + 1}): this line"):
            read(path)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_line_that_was_taken_out_is_missed(tmp_path: Path, gone: int) -> None:
    path = tmp_path / "x"
    written(path, move("1"), move("2"), move("3"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    with pytest.raises(RegistryError, match=f"x:{gone + 1}: .*put back a copy"):
        read(path)


def test_lines_in_another_order_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "x"
    written(path, move("1"), move("2"))
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RegistryError, match="x:1: "):
        read(path)


def test_a_line_that_was_sealed_anew_breaks_the_chain_behind_it(tmp_path: Path) -> None:
    path, forged = tmp_path / "x", tmp_path / "forged"
    written(path, move("1"), move("2"))
    written(forged, move("7"))
    path.write_bytes(forged.read_bytes() + path.read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(RegistryError, match="x:2: "):
        read(path)


@pytest.mark.parametrize("line", [b"[]", b"null", b"{}", b"[" * 100_000, b'"x"', b"\xff", b"", b'{"digest": NaN}'])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "x").write_bytes(line + b"\n")
    with pytest.raises(RegistryError, match="x:1: "):
        read(tmp_path / "x")


def test_a_line_is_plain_json_with_all_that_it_tells(tmp_path: Path) -> None:
    one = judged("1", None)
    told = Move(kind="promote", alias="champion", after="1", **one.model_dump(exclude={"version"}))
    written(tmp_path / "x", told)
    line = json.loads((tmp_path / "x").read_text(encoding="utf-8"))
    assert line["who"] == {"user": "ann", "host": "desk", "run": "brave-fox"}
    assert line["move"]["figures"]["holdout"]["p_value"] == 0.01
    assert line["move"]["fingerprint"]["engine"] == "as ever"


def test_figures_that_are_no_numbers_never_get_in() -> None:
    with pytest.raises(ValueError, match="finite"):
        move(figures={"holdout": {"candidate": float("nan")}})
