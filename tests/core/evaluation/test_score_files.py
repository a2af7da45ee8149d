"""Files of scores: what is read, and what is refused with its file and line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from wheelwork.core.errors import DataError
from wheelwork.core.evaluation.score_files import read_scores, suite_of
from wheelwork.core.rows import write_rows

SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float64()), ("slice", pa.string())])
ROWS = [
    {"id": "a", "score": 1.0, "slice": "x"},
    {"id": "b", "score": 0.5, "slice": None},
    {"id": "c", "score": None, "slice": "y"},
]


def written(path: Path, rows: Sequence[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def scores(*values: float | None, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"i{place}", "score": value, **more} for place, value in enumerate(values)]


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file_says_the_same(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"scores{ending}"
    write_rows(path, ROWS, SCHEMA)
    file = read_scores(path)
    assert file.scores == {"a": 1.0, "b": 0.5, "c": None}
    assert file.slices == {"a": "x", "c": "y"}
    assert (file.groups, file.digest) == ({}, "")


def test_numbers_may_be_names_and_truth_a_score(tmp_path: Path) -> None:
    rows = [{"id": 7, "score": True, "group": 3}, {"id": 8, "score": False}, {"id": "9", "score": "0.25"}]
    file = read_scores(written(tmp_path / "a.jsonl", rows))
    assert file.scores == {"7": 1.0, "8": 0.0, "9": 0.25}
    assert file.groups == {"7": "3"}


def test_what_scores_were_taken_with_stands_in_a_first_row_or_in_each(tmp_path: Path) -> None:
    stamp = {"suite": "3fa9", "scorer": "exact_label 1"}
    first = read_scores(written(tmp_path / "a.jsonl", [stamp, *scores(1, 0)]))
    each = read_scores(written(tmp_path / "b.jsonl", scores(1, 0, **stamp)))
    assert first.digest == each.digest == "3fa9 exact_label 1"
    assert first.scores == each.scores == {"i0": 1.0, "i1": 0.0}


REFUSALS = [
    ([*scores(1), {"id": "i0", "score": 0}], ":2: the id `i0` stands in line 1 too"),
    ([{"name": "a", "score": 1}], ":1: the row has no `id` (columns: `name`, `score`)"),
    ([{"id": "", "score": 1}], ":1: the row has no `id`"),
    ([{"id": ["a"], "score": 1}], ":1: `id` must be text, found a list"),
    ([{"id": "a", "value": 1}], ": no row has a `score` (columns: `id`, `value`)"),
    ([{"id": "a", "score": "good"}], ":1: the score of item `a` is 'good', which is no number"),
    ([{"id": "a", "score": [1]}], ":1: the score of item `a` must be a number, found a list"),
    ([*scores(1), '{"id": "b", "score": NaN}'], ":2: the score of item `b` is nan, which is no score"),
    ([*scores(1), '{"id": "b", "score": Infinity}'], ":2: the score of item `b` is inf, which is no score"),
    ([*scores(1), '{"id": "b", "score": 1e999}'], ":2: the score of item `b` is inf, which is no score"),
    ([*scores(1), f'{{"id": "b", "score": 1{"0" * 400}}}'], ":2: the score of item `b` is '1000"),
    ([*scores(1), '{"id": "b", "score": 1e200}'], ":2: the score of item `b` is 1e+200, which is no score"),
    ([*scores(1), '{"id": "b", "score"'], ":2: this line is not JSON"),
    ([*scores(1), "[1, 2]"], ":2: expected a row"),
    (["", ""], ": the file has no rows"),
    ([{"suite": "s"}], ": the file has no rows with an `id` and a `score`"),
    ([*scores(1, suite="s"), {"id": "b", "score": 1, "suite": "t"}], ":2: `suite` is `t`, above it is `s`"),
    ([{"suite": "s"}, *scores(1, suite="t")], ":2: `suite` is `t`, above it is `s`"),
    ([{"id": "a", "score": 1, "slice": {"x": 1}}], ":1: `slice` must be text, found an object"),
]


@pytest.mark.parametrize(("rows", "said"), REFUSALS, ids=[said for _, said in REFUSALS])
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path: Path, rows: list[Any], said: str) -> None:
    path = written(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError) as caught:
        read_scores(path)
    assert str(caught.value).startswith(f"{path}{said}")
    assert "\n" not in str(caught.value)


def test_a_csv_with_nan_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", ["id,score", "a,1", "b,nan"])
    with pytest.raises(DataError, match=r"a.csv:3: the score of item `b` is nan"):
        read_scores(path)


def pair(folder: Path, one: Sequence[Any], other: Sequence[Any]) -> tuple[Path, Path]:
    return written(folder / "old.jsonl", one), written(folder / "new.jsonl", other)


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    old, new = pair(tmp_path, scores(1, 0, None), list(reversed(scores(0, 1, 1, slice="s"))))
    suite = suite_of("faq", "guard", old, new, margin=0.1)
    assert (suite.ids, suite.champion, suite.candidate) == (("i0", "i1", "i2"), (1, 0, None), (0, 1, 1))
    assert (suite.base, suite.margin, suite.slices) == (None, 0.1, ("s", "s", "s"))
    assert len(set(suite.groups)) == 3


def test_groups_and_single_items_are_never_taken_for_each_other(tmp_path: Path) -> None:
    old, new = pair(tmp_path, [{"id": "p", "score": 1}, {"id": "q", "score": 1, "group": "p"}], [
        {"id": "p", "score": 1}, {"id": "q", "score": 1}])  # fmt: skip
    assert len(set(suite_of("t", "target", old, new).groups)) == 2


PAIRS = [
    (scores(1, 0), scores(1), "old.jsonl:2: the id `i1` is not in {new}; both must hold the same items"),
    (scores(1), scores(1, 0), "new.jsonl:2: the id `i1` is not in {old}; both must hold the same items"),
    (
        scores(1, suite="s"),
        scores(1, suite="t"),
        "new.jsonl: the scores were taken with suite `t`, those of {old} with",
    ),
    (scores(1, scorer="f1 1"), scores(1, scorer="f1 2"), "new.jsonl: the scores were taken with scorer `f1 2`"),
    (scores(1, suite="s"), scores(1), "new.jsonl: the scores were taken with no `suite` that is told"),
    (scores(1, slice="a"), scores(1, slice="b"), "new.jsonl:1: item `i0` is of slice `b`, in {old}:1 of `a`"),
    (scores(1, group="a"), scores(1, group="b"), "new.jsonl:1: item `i0` is of group `b`, in {old}:1 of `a`"),
]


@pytest.mark.parametrize(("one", "other", "said"), PAIRS, ids=[said for *_, said in PAIRS])
def test_files_that_do_not_go_together_are_refused(tmp_path: Path, one: list[Any], other: list[Any], said: str) -> None:
    old, new = pair(tmp_path, one, other)
    with pytest.raises(DataError) as caught:
        suite_of("target", "target", old, new)
    assert said.format(old=old, new=new) in str(caught.value)
