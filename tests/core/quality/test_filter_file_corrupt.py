"""Corrupt rows of a file: in nobody's way, and put aside with their line."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import DataError
from wheelwork.core.quality.files.json_list import JsonList
from wheelwork.tests.core.quality.filtering import rows_of, run, write

# rows that are corrupt


@pytest.mark.parametrize(
    ("name", "data", "lines", "why"),
    [
        ("in.jsonl", b'{"text": "the line is down"}\n{oops\n\n\xff\n[1]\n{"text": 1.5}\n{"label": "x"}\n'
                     b'{"text": "half \\ud83d of it"}\n{"text": "the bill is high"}', [2, 4, 5, 6, 7, 8],
         ["not JSON", "not UTF-8", "found a list", "must be text", "`text` is missing", "half a character"]),
        ("in.json", b'[\n  {"text": "the line is down"},\n  {"text": oops},\n  {"text": "the \xff"},\n'
                    b'  {"text": "the bill is high"}\n]', [2, 3], ["not JSON", "not UTF-8"]),
        ("in.csv", b'text,label\nthe line is down,x\na,b,c\n"it never closes,x\nthe \xff end,x\nthe bill is high,x\n',
         [3, 4, 5], ["3 fields, the header 2", "a quote opens and never closes", "not UTF-8"]),
    ],
)  # fmt: skip
def test_corrupt_rows_are_put_aside_with_their_line(
    tmp_path: Path, name: str, data: bytes, lines: list[int], why: list[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    out = tmp_path / f"out{Path(name).suffix}"
    result = run(tmp_path / name, out)
    assert [row["text"] for row in rows_of(out)] == ["the line is down", "the bill is high"]
    aside = rows_of(tmp_path / "out.quarantined.jsonl")
    assert [row["line"] for row in aside] == lines
    assert all(said in row["why"] for said, row in zip(why, aside, strict=True))
    assert (result.quarantined, result.rows) == (len(lines), len(lines) + 2)
    assert result.complaints[0].startswith(f"{tmp_path / name}:{lines[0]}: ")


def test_a_table_with_bytes_that_are_no_text_loses_only_that_row(tmp_path: Path) -> None:
    texts = pa.array([b"the line is down", b"the \xff", b"the bill is high"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": texts, "n": [1, 2, 3]}), tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["n"].to_pylist() == [1, 3]
    (aside,) = rows_of(tmp_path / "out.quarantined.jsonl")
    assert (aside["line"], json.loads(aside["row"])) == (2, {"text": "the \\xff", "n": 2})


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("in.jsonl", b"xx\nyy\n", ":1: this is not JSON"),
        ("in.jsonl", b'{"text": null, "label": "x"}\n{"text": 1.5, "label": "x"}', "nor any other of its 2 rows"),
        ("in.jsonl", b"", "has no rows"),
        ("in.csv", b"text,label\n", "has no rows"),
        ("in.csv", b"text,text\na,b\n", "a column name stands twice"),
        ("in.csv", b"colour,size\na,b\n", "(`colour`, `size`) are not recognised"),
        ("in.json", b'{"text": "a"}', "expected one list of rows"),
        ("in.parquet", b"PAR1 not really", "cannot be read as parquet"),
    ],
)  # fmt: skip
def test_a_file_without_a_row_that_can_be_read_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=re.escape(says)):
        run(tmp_path / name, tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_first_row_that_lacks_its_answer_does_not_decide_for_the_others(tmp_path: Path) -> None:
    rows = [
        {"prompt": "the line is down"},
        *({"prompt": f"the line {n} is down", "completion": "ok"} for n in range(3)),
    ]
    result = run(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")
    assert (result.kept, result.quarantined) == (3, 1)


LINE = st.one_of(
    st.sampled_from(
        [b'{"text": "the line is down"}', b'{"text": "no"}', b'{"text": 1}', b"{", b"\xff", b"[]", b'""', b""]
    ),
    st.text("abc é", max_size=20).map(lambda text: json.dumps({"text": text, "n": 1}).encode()),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(LINE, max_size=12))
def test_every_line_is_kept_or_dropped_or_put_aside(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "in.jsonl").write_bytes(b'{"text": "so that one is good"}\n' + b"\n".join(lines))
    run(folder / "in.jsonl", folder / "out.jsonl")
    found = [rows_of(folder / f"out{what}.jsonl") for what in ("", ".dropped", ".quarantined")]
    assert sum(map(len, found)) == 1 + sum(1 for line in lines if line.strip())


VALUE = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(VALUE, max_size=6), st.sampled_from([None, 0, 2]), st.integers(1, 9), st.booleans())
def test_a_list_is_read_in_pieces_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], indent: int | None, chunk: int, ascii: bool
) -> None:
    path = tmp_path_factory.mktemp("list") / "a.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii), encoding="utf-8")
    assert [json.loads(text) for text in JsonList(path, chunk)] == values


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(1, 9))
def test_in_a_list_with_a_row_a_line_only_corrupt_ones_are_lost(
    tmp_path_factory: pytest.TempPathFactory, whole: list[bool], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("list") / "a.json"
    rows = [json.dumps({"n": n}) if fine else f'{{"n": {n} "oops' for n, fine in enumerate(whole)]
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    found = list(JsonList(path, chunk))
    assert len(found) == len(rows)
    assert all(text == row for text, row, fine in zip(found, rows, whole, strict=True) if fine)
