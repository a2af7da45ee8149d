"""Suites from files: items, what a scorer needs, and digests that stay what they were."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from wheelwork.core.digests import digest_of
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.evaluation.suites import Suite, SuiteSettings, read_suite

LABELS = ("line", "bill", "other")
QUESTION = {"prompt": "Capital of France?", "answers": ["Paris"]}


def suite(folder: Path, rows: Sequence[dict[str, Any]], **settings: Any) -> Suite:
    (folder / "suite.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = SuiteSettings.model_validate({"role": "target", "path": "suite.jsonl"} | settings)
    return read_suite("quiz", told, folder, LABELS)


def complaint(folder: Path, rows: Sequence[dict[str, Any]], **settings: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        suite(folder, rows, **settings)
    return str(caught.value).replace(f"{folder}/", "")


# digests: how often a holdout was looked at is counted by them


def test_the_digests_of_suites_that_were_there_before_stay(tmp_path: Path) -> None:
    of_labels = suite(tmp_path, [{"text": "dead", "label": "line"}])
    old_item = {
        "id": digest_of("dead")[:16], "prompt": "dead", "label": "line", "answers": [], "pattern": None,
        "keywords": [], "history": [], "passages": [], "slice": "line", "group": None,
    }  # fmt: skip
    assert of_labels.digest == digest_of(
        {"items": [old_item], "scorer": ["exact_label", 1], "prompt": "task", "max_tokens": 24}
    )
    of_answers = suite(tmp_path, [QUESTION | {"kind": "fact"}], scorer={"kind": "matches"}, prompt="plain")
    old_item |= {
        "id": digest_of(["Capital of France?", ["Paris"], ""])[:16], "prompt": "Capital of France?", "label": None,
        "answers": ["Paris"], "slice": "fact",
    }  # fmt: skip
    assert of_answers.digest == digest_of(
        {"items": [old_item], "scorer": ["matches", 1], "prompt": "plain", "max_tokens": 24}
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"scorer": {"kind": "exact_label", "other": "other"}},
        {"scorer": {"kind": "exact_label", "normalise": "loose"}},
        {"max_tokens": 25},
        {"temperature": 0.7},
        {"temperature": 0.7, "repeats": 3},
    ],
)
def test_what_changes_scores_changes_the_digest(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows = [{"text": "dead", "label": "line"}]
    assert suite(tmp_path, rows, **settings).digest != suite(tmp_path, rows).digest


def test_another_label_or_another_function_is_another_suite(tmp_path: Path) -> None:
    rows, settings = [{"text": "dead", "label": "line"}], {"scorer": {"kind": "exact_label", "other": "other"}}
    known = suite(tmp_path, rows, **settings)
    told = known.settings.model_copy(update={"scorer": known.settings.scorer.model_copy(update={"labels": ()})})
    assert read_suite("quiz", told, tmp_path, (*LABELS, "more")).digest != known.digest
    (tmp_path / "own.py").write_text("def f(reply, item): return 1.0", encoding="utf-8")
    own = {"scorer": {"kind": "callable", "call": "own.py:f"}}
    before = suite(tmp_path, [QUESTION], **own).digest
    (tmp_path / "own.py").write_text("def f(reply, item): return 2.0", encoding="utf-8")
    assert suite(tmp_path, [QUESTION], **own).digest != before


def test_role_and_margin_are_no_part_of_the_digest(tmp_path: Path) -> None:
    guard = suite(tmp_path, [QUESTION], scorer={"kind": "matches"}, role="guard", margin=0.1)
    assert guard.digest == suite(tmp_path, [QUESTION], scorer={"kind": "matches"}).digest


# rows


def test_rows_of_labels_may_name_their_slice_source_and_difficulty(tmp_path: Path) -> None:
    rows = [
        {"text": "dead", "label": "line", "slice": "night", "group": "call 7", "difficulty": 3},
        {"text": "dear", "label": "bill", "kind": "a column of its own"},
    ]
    one, other = suite(tmp_path, rows).items
    assert (one.label, one.slice, one.cluster, one.difficulty) == ("line", "night", "call 7", "3")
    assert (other.slice, other.difficulty, other.group) == ("bill", None, None)


@pytest.mark.parametrize("answer", ["blue", 1, "1"])
def test_the_right_choice_is_its_text_or_its_number(tmp_path: Path, answer: Any) -> None:
    rows = [{"question": "Sky?", "choices": ["red", "blue"], "answer": answer}]
    (item,) = suite(tmp_path, rows, scorer={"kind": "multiple_choice"}).items
    assert (item.choices, item.choice) == (("red", "blue"), 1)


def test_choices_in_a_csv_are_json(tmp_path: Path) -> None:
    (tmp_path / "suite.csv").write_text('prompt,choices,answer\nSky?,"[""red"", ""blue""]",blue\n', encoding="utf-8")
    settings = SuiteSettings.model_validate(
        {"role": "target", "path": "suite.csv", "scorer": {"kind": "multiple_choice"}}
    )
    (item,) = read_suite("quiz", settings, tmp_path, ()).items
    assert item.choice == 1


def test_a_function_gets_the_other_columns(tmp_path: Path) -> None:
    scorer = {"kind": "callable", "call": "operator.contains"}
    (item,) = suite(tmp_path, [QUESTION | {"weight": 3}], scorer=scorer).items
    assert item.columns == {"weight": 3}
    (other,) = suite(tmp_path, [QUESTION | {"weight": 3}], scorer={"kind": "matches"}).items
    assert other.columns == {}


@pytest.mark.parametrize(
    ("row", "scorer", "said"),
    [
        ({"prompt": "x"}, {"kind": "answer_f1"}, "has no `answers`, which the scorer `answer_f1` needs; add some"),
        ({"prompt": "x"}, {"kind": "matches"}, "has neither `answers` nor `pattern`, one of which"),
        ({"prompt": "x"}, {"kind": "keywords"}, "has no `keywords`"),
        ({"prompt": "x"}, {"kind": "code_tests"}, "has no `tests`, which the scorer `code_tests` needs; add it"),
        ({"prompt": "x"}, {"kind": "grounded"}, "has no `passages`"),
        ({"prompt": "x"}, {"kind": "pairwise"}, "has no `answers`"),
        (QUESTION, {"kind": "multiple_choice"}, "needs at least two `choices`"),
        (
            {"prompt": "x", "choices": ["a", "b"]},
            {"kind": "multiple_choice"},
            "`answer` is missing; give the right one",
        ),
        (
            {"prompt": "x", "choices": ["red", "blue"], "answer": "blu"},
            {"kind": "multiple_choice"},
            "`answer` is 'blu', which is none of `choices`; did you mean `blue`?",
        ),
        ({"answers": ["x"]}, {"kind": "matches"}, "`prompt` is missing or empty"),
        ({"prompt": "x", "answers": [1]}, {"kind": "matches"}, "`answers` must be a list of texts"),
    ],
)
def test_a_row_that_its_scorer_cannot_use_is_named_by_its_line(
    tmp_path: Path, row: dict[str, Any], scorer: dict[str, Any], said: str
) -> None:
    good = QUESTION | {"keywords": ["a"], "tests": "assert 1", "passages": ["a"], "choices": ["a", "b"], "answer": "a"}
    told = complaint(tmp_path, [good, row], scorer=scorer)
    assert told.startswith("suite.jsonl:2: ") and said in told and "\n" not in told


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        ({"kind": "callable", "call": "none.py:f"}, "`call: none.py:f` cannot be imported (there is no none.py)"),
        ({"kind": "exact_label", "other": "othr"}, "`scorer.other: othr` is no label; did you mean `other`?"),
    ],
)
def test_a_scorer_that_cannot_be_had_is_named_by_its_suite(tmp_path: Path, scorer: dict[str, Any], said: str) -> None:
    told = complaint(tmp_path, [{"text": "x", "label": "line"}], scorer=scorer)
    assert told.startswith("loop.yaml: `suites.quiz.scorer`: ") and said in told


# settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"repeats": 3}, "`repeats` of a greedy answer are all the same"),
        ({"temperature": 0.5, "scorer": {"kind": "multiple_choice"}}, "the scorer `multiple_choice` draws no replies"),
        ({"role": "guard", "margin": 1.0}, "scores lie between 0 and 1, and so must the `margin`"),
        ({"role": "guard", "margin": float("inf"), "scorer": {"kind": "perplexity"}}, "finite number"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SuiteSettings.model_validate({"role": "target", "path": "x"} | settings)


def test_a_margin_in_nats_may_be_more_than_one() -> None:
    told = {"role": "guard", "path": "x", "margin": 1.5, "scorer": {"kind": "perplexity"}}
    assert SuiteSettings.model_validate(told).margin == 1.5


def test_what_is_measured_by_what(tmp_path: Path) -> None:
    assert suite(tmp_path, [QUESTION], scorer={"kind": "perplexity"}).measured_by == "training stack"
    assert suite(tmp_path, [QUESTION], scorer={"kind": "matches"}).measured_by == "serving engine"
