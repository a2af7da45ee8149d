"""What is malformed, missing or cannot be held by a format: named by its line, and nothing is left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wheelwork.core.errors import DataError
from wheelwork.core.formats import (
    Format,
    read_labelled,
    read_samples,
    write_samples,
)
from wheelwork.core.rows import KINDS, read_rows
from wheelwork.core.samples import Sample
from wheelwork.tests.core.files_of_rows import GOOD, lines_of, talk


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"text": "a", "label"', r"rows\.jsonl:3: this line is not JSON"),
        ("[" * 100_000, r"rows\.jsonl:3: this line is not JSON"),
        ('["a", "b"]', r"rows\.jsonl:3: expected a row \{…: …\}, found a list"),
        ("null", r"rows\.jsonl:3: expected a row \{…: …\}, found nothing"),
        ('{"text": "a"}', r"rows\.jsonl:3: `label` is missing; fill it in"),
        ('{"text": " ", "label": "b"}', r"rows\.jsonl:3: `text` is empty; fill it in"),
        ('{"text": "a", "label": ""}', r"rows\.jsonl:3: `label` is empty; fill it in"),
        ('{"text": ["a"], "label": "b"}', r"rows\.jsonl:3: `text` must be text, found a list"),
        ('{"text": true, "label": "b"}', r"rows\.jsonl:3: `text` must be text, found true or false"),
        ('{"text": 1.5, "label": "b"}', r"rows\.jsonl:3: `text` must be text, found a number"),
        (r'{"text": "\ud83d", "label": "b"}', r"rows\.jsonl:3: `text` holds half a character"),
        ('{"text": "\udc80", "label": "b"}', r"rows\.jsonl:3: this line is not UTF-8; save"),
        ('{"text": "\0", "label": "b"}', r"rows\.jsonl:3: this line has a NUL byte"),
    ],
)
@pytest.mark.parametrize("read", [read_labelled, lambda path: list(read_samples(path, task="t"))])
def test_a_malformed_line_is_named(tmp_path: Path, line: str, what: str, read: Callable[[Path], Any]) -> None:
    with pytest.raises(DataError, match=what):
        read(lines_of(tmp_path, GOOD, "", line, GOOD))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"messages": []}, "`messages` must be a list of turns with `role` and `content`, found a list"),
        ({"messages": "hi"}, "`messages` must be a list of turns .* found text"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "turn 1 of `messages` must have a `role`, one of system"),
        ({"messages": [{"role": "user", "content": "x"}, "y"]}, "turn 2 of `messages` must have a `role`"),
        ({"messages": [{"role": "user"}]}, "`content` is missing"),
        ({"conversations": [{"from": "human", "value": None}]}, "`value` is missing"),
        ({"conversations": [{"from": ["human"], "value": "x"}]}, "turn 1 of `conversations` must have a `from`"),
        ({"instruction": "i", "output": None}, "`output` is missing"),
        ({"instruction": "i", "output": "o", "input": {}}, "`input` must be text, found an object"),
        ({"prompt": "p", "completion": ["c"]}, "`completion` must be text, found a list"),
    ],
)
def test_a_malformed_conversation_is_named(tmp_path: Path, row: Any, what: str) -> None:
    with pytest.raises(DataError, match=rf"rows\.jsonl:1: {what}.*; "):
        list(read_samples(lines_of(tmp_path, json.dumps(row)), task="t"))


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["text,label", "a,b", "c"], r"rows\.csv:3: this row has 1 fields, the header 2; put .* in quotes"),
        (["text,label", "a,b", "c,d,e"], r"rows\.csv:3: this row has 3 fields, the header 2"),
        (["text,label", "", '"a', 'b",c', '"d,e', "f,g"], r"rows\.csv:5: .* \(a quote opens and never closes\)"),
        (["text,label", '"a"b,c'], r"rows\.csv:2: .* not valid CSV"),
        (["text,label", "a,b\0"], r"rows\.csv:2: this line has a NUL byte"),
        (["text,label", '"a', 'b\udc80",c'], r"rows\.csv:3: this line is not UTF-8"),
        (["text,label", '"a', 'b",'], r"rows\.csv:2: `label` is empty"),
        (["text,label", "a,b", f"c,{'d' * 140_000}"], r"rows\.csv:3: .*field larger than field limit"),
        (["text,label,text", "a,b,c"], r"rows\.csv:1: a column name stands twice"),
        (
            ["foo,bar", "a,b"],
            r"rows\.csv: the columns \(`foo`, `bar`\) are not recognised; .*text \| message.*label \|",
        ),
        (["text;label", "a;b"], r"rows\.csv: the columns \(`text;label`\) are not recognised"),
        (["text,label"], r"rows\.csv: the file has no rows"),
    ],
)
def test_a_malformed_table_is_named_by_the_line_its_row_starts_in(tmp_path: Path, lines: list[str], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_labelled(lines_of(tmp_path, *lines, name="rows.csv"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[{"text": "a", "label": "b"},\n{"text"]', r"rows\.json:2: this is not JSON .*; mend it"),
        (f"{GOOD}\n{GOOD}", r"rows\.json:2: .* name it \.jsonl if each line is a row"),
        (GOOD, r"rows\.json: expected one list of rows, found an object"),
        (f"[{GOOD}, 1]", r"rows\.json:2: expected a row .* found a number"),
        (f"[{GOOD}, {{}}]", r"rows\.json:2: `text` is missing"),
        ("[" * 100_000, r"rows\.json: this is not JSON that can be read"),
        ("[]", r"rows\.json: the file has no rows"),
    ],
)
def test_a_malformed_array_is_named(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_labelled(lines_of(tmp_path, text, name="rows.json"))


def test_a_parquet_row_without_a_label_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Text": ["a", "b"], "Intent": ["x", None]}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet:2: `Intent` is missing"):
        read_labelled(tmp_path / "rows.parquet")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", [read_labelled, lambda path: list(read_samples(path, task="t"))])
def test_a_missing_an_empty_and_an_unreadable_file(tmp_path: Path, kind: str, read: Callable[[Path], Any]) -> None:
    with pytest.raises(DataError, match=rf"none\{kind}: there is no such file"):
        read(tmp_path / f"none{kind}")
    (tmp_path / f"folder{kind}").mkdir()
    with pytest.raises(DataError, match=rf"folder\{kind}: cannot be read"):
        read(tmp_path / f"folder{kind}")
    (tmp_path / f"empty{kind}").touch()
    with pytest.raises(DataError, match="cannot be read as parquet" if kind == ".parquet" else "the file has no rows"):
        read(tmp_path / f"empty{kind}")


def test_another_kind_of_file_is_refused_before_anything_is_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.xlsx: the name must end in \.jsonl"):
        read_rows(tmp_path / "rows.xlsx")
    with pytest.raises(DataError, match=r"rows\.xlsx: the name must end in \.jsonl"):
        write_samples(tmp_path / "rows.xlsx", iter([]), "messages")


@pytest.mark.parametrize(
    ("sample", "format", "what"),
    [
        (
            talk(("user", "a"), ("assistant", "b"), ("user", "c")),
            "alpaca",
            "the turns user, assistant, user; alpaca",
        ),
        (talk(("user", "a")), "prompt_completion", "has the turns user; prompt_completion holds one question"),
        (talk(("user", "a"), ("assistant", "b")), "text_label", "is no text answered by its label"),
        (talk(("user", "a"), ("assistant", "b"), label="c"), "text_label", "is no text answered by its label"),
        (talk(("user", "a"), ("assistant", "b "), label="b "), "text_label", "is no text answered by its label"),
        (talk(("user", " "), ("assistant", "b"), label="b"), "text_label", "is no text answered by its label"),
        (talk(("user", "a\0"), ("assistant", "b")), "prompt_completion", "a NUL character"),
        (talk(("user", "a" * 140_000), ("assistant", "b")), "prompt_completion", "too long for a field of CSV"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_and_nothing_is_left(
    tmp_path: Path, sample: Sample, format: Format, what: str
) -> None:
    good = talk(("user", "a"), ("assistant", "b"), label="b")
    with pytest.raises(DataError, match=what):
        write_samples(tmp_path / "rows.csv", [good, sample], format)
    assert list(tmp_path.iterdir()) == []
