"""Versions: whatever is done in whatever order, a chain of them says what a plain dictionary would."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.pool.diff import difference
from wheelwork.core.pool.store import Pool
from wheelwork.core.pool.versions import Added, Mark, Version, View, text_key
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.pool.rows import LABELS, conclude, sample, samples

# few texts and labels, so that ids and texts meet: `Down`, `down ` are one text, under each label another id
ROWS = [sample(text, label) for text in ("down", " Down!", "slow", "slow\n", "high") for label in LABELS[:2]]
IDS = [row.id for row in ROWS]
VERDICTS = st.sampled_from(["promoted", "rejected", "inconclusive"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("round"), VERDICTS, st.lists(st.sampled_from(ROWS), max_size=5)),
        st.tuples(st.just("exclude"), st.lists(st.sampled_from(IDS), min_size=1, max_size=2)),
        st.tuples(st.just("mark"), st.sampled_from(IDS), st.sampled_from([None, "rejected", "inconclusive"])),
        st.tuples(st.just("undo")),
    ),
    max_size=12,
)


@dataclass(frozen=True)
class Plain:
    """A pool as one would write it down: id → mark in the order of arrival, and the ids that are out."""

    marks: dict[str, Mark | None] = field(default_factory=dict)
    out: frozenset[str] = frozenset()

    def round(self, verdict: str, rows: list[Sample]) -> "Plain":
        new, marks = None if verdict == "promoted" else verdict, dict(self.marks)
        texts = {row.id: text_key(row) for row in ROWS}
        for row in rows:
            rivals = [id for id in marks if texts[id] == texts[row.id] and id != row.id]
            if row.id in self.out:
                continue
            if row.id in marks:
                marks[row.id] = marks[row.id] if new else None
            elif not rivals or (new is None and marks[rivals[0]] is not None):
                for id in rivals:
                    del marks[id]
                marks[row.id] = new  # type: ignore[assignment]
        return Plain(marks, self.out)

    def exclude(self, ids: list[str]) -> "Plain":
        return Plain({id: mark for id, mark in self.marks.items() if id not in ids}, self.out | set(ids))

    def mark(self, id: str, mark: Mark | None) -> "Plain":
        return Plain(self.marks | {id: mark}, self.out) if id in self.marks else self


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_any_sequence_says_what_a_dictionary_would(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    with TemporaryDirectory() as home:
        pool = Pool(Path(home), "tiny", clock=lambda: 0.0)
        past, known = [Plain()], {}
        for number, (what, *given) in enumerate(steps):
            before = pool.head()
            if what == "round":
                conclude(pool, number, given[1], given[0])
                now = past[-1].round(*given)
            elif what == "exclude":
                pool.exclude(dict.fromkeys(given[0], "why"))
                now = past[-1].exclude(given[0])
            elif what == "mark":
                pool.review(Version(marks={given[0]: given[1]}), why="sheet")
                now = past[-1].mark(*given)
            elif before is not None:
                pool.undo()
                past.pop()
                now = past.pop()
            if what == "undo" and before is None:
                continue
            if pool.head() != before or what == "undo":
                past.append(now)
            assert now == past[-1]  # what makes no version changes nothing
            view = pool.view(pool.head())
            assert {id: entry.mark for id, entry in view.entries.items()} == now.marks
            assert list(view.entries) == list(now.marks)
            assert view.excluded.keys() == now.out == pool.excluded().keys()
            known[pool.head()] = now
            assert {s.id for s in pool.samples(view.entries.values())} == set(now.marks)
        for version, then in known.items():  # no later change reaches an earlier version
            assert {id: entry.mark for id, entry in pool.view(version).entries.items()} == then.marks


def view_of(*changes: tuple[Version, list[Sample]]) -> View:
    view = View()
    for number, (change, rows) in enumerate(changes):
        view.apply(str(number), change, lambda _, rows=rows: rows)  # type: ignore[misc]
    return view


FILE = (Added(digest="a" * 64, rows=1),)


def test_an_accepted_sample_takes_the_place_of_a_marked_one_with_the_same_text() -> None:
    wrong, right = sample("no light", "wifi"), sample("No light.", "line")
    marked = Version(added=FILE, mark="rejected")
    assert list(view_of((marked, [wrong]), (Version(added=FILE), [right])).entries) == [right.id]
    assert list(view_of((Version(added=FILE), [wrong]), (Version(added=FILE), [right])).entries) == [wrong.id]
    assert list(view_of((Version(added=FILE), [wrong]), (marked, [right])).entries) == [wrong.id]


def test_a_rejected_round_takes_nothing_back_that_was_accepted() -> None:
    row = sample("no light")
    view = view_of((Version(added=FILE), [row]), (Version(added=FILE, mark="rejected"), [row]))
    assert view.entries[row.id].mark is None and view.marks == {}


def test_what_is_excluded_never_comes_back() -> None:
    row = sample("no light")
    view = view_of((Version(excluded={row.id: "wrong"}), []), (Version(added=FILE), [row, sample("slow")]))
    assert list(view.entries) == [sample("slow").id] and view.excluded == {row.id: "wrong"}


def test_a_text_whose_holder_left_may_come_in_again() -> None:
    wrong, right = sample("no light", "wifi"), sample("no light", "line")
    view = view_of((Version(added=FILE), [wrong]), (Version(excluded={wrong.id: ""}, added=FILE), [right]))
    assert list(view.entries) == [right.id]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (sample("NO  light!", "bill", system="Another."), True),
        (sample("no lights"), False),
        (sample("no light", controls={"passage": "handbook#2"}), False),
        (sample("no light").model_copy(update={"task": "qa"}), False),
    ],
)
def test_the_same_text_is_told_by_what_is_asked(other: Sample, same: bool) -> None:
    assert (text_key(sample("no light")) == text_key(other)) is same


def test_a_conversation_is_what_its_user_said() -> None:
    def talk(*said: str) -> Sample:
        turns = [Message(role=("user", "assistant")[n % 2], content=text) for n, text in enumerate(said)]  # type: ignore[arg-type]
        return Sample.make(turns, task="dialogue", origin="teacher")

    first = talk("Hello", "Yes?", "It is slow", "Restart it.")
    assert text_key(first) == text_key(talk("hello", "Hi!", "it is slow.", "Call us."))
    assert text_key(first) != text_key(talk("Good day", "Yes?", "It is slow", "Restart it."))


def test_first_and_last_round_are_told(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    one, two, three = samples(3)
    conclude(pool, 0, [one, two])
    conclude(pool, 1, [two, three], used=[one.id])
    view = pool.view(pool.head())
    told = {id: (entry.first_round[:4], entry.last_round[:4], entry.ordinal) for id, entry in view.entries.items()}
    assert told == {one.id: ("0000", "0001", 1), two.id: ("0000", "0001", 1), three.id: ("0001", "0001", 2)}


def test_a_difference_names_what_came_left_and_changed(tmp_path: Path) -> None:
    pool = Pool(tmp_path, "tiny")
    one, two, three = samples(3)
    first = conclude(pool, 0, [one, two], "rejected")
    pool.review(Version(excluded={one.id: "wrong"}, marks={two.id: None}), why="sheet")
    last = conclude(pool, 1, [three])
    there = difference(pool.view(first), pool.view(last))
    assert [entry.id for entry in there.came] == [three.id] and [entry.id for entry in there.left] == [one.id]
    assert [(a.mark, b.mark) for a, b in there.marked] == [("rejected", None)] and there.excluded == {one.id: "wrong"}
    back = difference(pool.view(last), pool.view(first))
    assert [entry.id for entry in back.came] == [one.id] and back.excluded == {}
    assert difference(pool.view(None), pool.view(None)) == ([], [], [], {})
