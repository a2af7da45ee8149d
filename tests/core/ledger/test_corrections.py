"""What comes into the ledger, from where, and what never does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.errors import DataError, LeakError
from wheelwork.core.evaluation.scorers.asking import Graded
from wheelwork.core.ledger.corrections import corrected_samples, fixed_items, read_corrections
from wheelwork.core.ledger.entries import Entry, Held, Origin, held_out_of, refuse_unscorable
from wheelwork.core.loops import Loop, load_loop
from wheelwork.tests.core.ledger.rows import a_question, a_suite, an_entry
from wheelwork.tests.core.pool.rows import sample
from wheelwork.tests.e2e.command import tiny_loop, write_rows

SUITE = a_suite({"a": "yes", "b": "no", "c": "yes", "d": "no"})


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    return load_loop(tiny_loop(tmp_path / "loop", models=False))


# fixed by a round


def test_fixed_is_what_was_wrong_and_is_right_now() -> None:
    fixed = fixed_items(SUITE, (0.0, 0.0, 1.0, None), (1.0, 0.0, 1.0, 1.0), "0002-a", 1.0)
    assert [entry.item.prompt for entry in fixed] == ["a"]
    (entry,) = fixed
    assert entry.origin == Origin(kind="round", round="0002-a", suite="holdout", source="holdout.jsonl:1")
    assert entry.held_out and entry.right == an_entry("a", "yes").right


def test_a_first_round_and_a_guard_fix_nothing() -> None:
    assert fixed_items(SUITE, None, (1.0,) * 4, "0001-a", 1.0) == []
    guard = a_suite({"a": "yes"}, role="guard")
    assert fixed_items(guard, (0.0,), (1.0,), "0002-a", 1.0) == []


@pytest.mark.parametrize("told_otherwise", [{"temperature": 0.7}, {"scorer": Graded()}], ids=["drawn", "judged"])
def test_what_is_not_told_from_a_greedy_reply_alone_never_comes_in(told_otherwise: dict[str, Any]) -> None:
    changed = replace(SUITE, settings=SUITE.settings.model_copy(update=told_otherwise))
    assert fixed_items(changed, (0.0,) * 4, (1.0,) * 4, "0002-a", 1.0) == []
    with pytest.raises(DataError, match=r"draws its replies|is scored by `judge`"):
        refuse_unscorable(changed)
    refuse_unscorable(SUITE)


def test_what_rounds_fixed_stays_held_out_also_when_it_is_retired() -> None:
    fixed, said = an_entry("a", kind="round"), an_entry("b")
    held = [Held(entry=fixed, active=False), Held(entry=said)]
    (text,) = held_out_of(held, Path("tiny.jsonl"))
    assert (text.text, text.group) == ("a", "ledger") and fixed.id in text.place


# corrected by people


def test_a_corrected_sample_becomes_an_item_of_the_target(loop: Loop) -> None:
    right = sample("my bill is wrong", "bill", origin="feedback", source="sheet.csv:3")
    origin = Origin(kind="review", round="0001-a")
    (entry,) = corrected_samples([right], loop, origin, 1.0, {right.id: "ann"}).entries
    assert (entry.item.prompt, entry.item.label, entry.scorer.kind) == ("my bill is wrong", "bill", "exact_label")
    assert entry.origin == Origin(kind="review", by="ann", round="0001-a", suite="holdout", source="sheet.csv:3")
    assert not entry.held_out


def test_an_answer_that_no_target_can_score_is_left_out_and_told(tmp_path: Path) -> None:
    suites = {"holdout": {"role": "target", "path": "talk.jsonl", "scorer": {"kind": "keywords"}}}
    folder = tiny_loop(tmp_path / "loop", models=False, suites=suites)
    write_rows(folder / "talk.jsonl", [{"prompt": f"p {n}", "keywords": ["word"]} for n in range(3)])
    fitting = corrected_samples([sample("text", "bill")], load_loop(folder), Origin(kind="review"), 1.0)
    assert fitting.entries == [] and fitting.left_out == 1 and "ledger add LOOP FILE" in fitting.note


# from a file


def added(loop: Loop, rows: list[dict[str, object]], suite: str | None = None) -> list[Entry]:
    path = loop.folder / "corrections.jsonl"
    write_rows(path, rows)
    return read_corrections(path, loop, suite, "ann", 1.0)


def test_a_file_has_the_fields_of_a_suite(loop: Loop) -> None:
    (entry,) = added(loop, [{"text": "my bill is wrong", "label": "bill"}])
    assert entry.origin == Origin(kind="feedback", by="ann", suite="holdout", source="corrections.jsonl:1")
    (other,) = added(loop, [{"prompt": "why is that", "answers": ["because"]}], "general")
    assert (other.scorer.kind, other.prompt) == ("matches", "plain")
    assert other.right == a_question("why is that", ["because"]).right


def test_a_question_that_is_held_out_is_refused(loop: Loop) -> None:
    held = loop.suites["holdout"].items[0]
    with pytest.raises(LeakError, match=r"corrections\.jsonl:1: this question is held out"):
        added(loop, [{"text": held.prompt.upper(), "label": held.label}])
    path = loop.folder / "corrections.jsonl"
    write_rows(path, [{"text": "old question", "label": "bill"}])
    gone = held_out_of([Held(entry=an_entry("old question", "bill", "round"))], Path("tiny.jsonl"))
    with pytest.raises(LeakError, match=r"held out \(tiny\.jsonl, item"):
        read_corrections(path, loop, None, "ann", 1.0, gone)


def test_bad_rows_are_told_by_their_line(loop: Loop) -> None:
    with pytest.raises(DataError, match=r"corrections\.jsonl:1: unknown label `bil`; did you mean `bill`"):
        added(loop, [{"text": "my bill", "label": "bil"}])
    with pytest.raises(DataError, match="no such suite; did you mean `general`"):
        added(loop, [{"text": "my bill", "label": "bill"}], "generl")
    with pytest.raises(DataError, match=r"corrections\.jsonl:2: corrections\.jsonl:1 gives another answer"):
        added(loop, [{"prompt": "Why?", "answers": ["a"]}, {"prompt": "why", "answers": ["b"]}], "general")
