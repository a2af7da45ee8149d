"""Formats: what is written is read back, whatever it holds."""

import csv
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.errors import DataError
from wheelwork.core.formats import (
    LABEL,
    TEXT,
    Format,
    LabelledText,
    detect,
    read_labelled,
    read_samples,
    write_samples,
)
from wheelwork.core.rows import KINDS, read_rows
from wheelwork.core.samples import Role, Sample, write_parquet
from wheelwork.tests.core.files_of_rows import GOOD, lines_of, talk

AWKWARD = [
    " ",
    "a\n\r\nb\rc",
    '"quoted", it\'s;\ttab',
    "👩\u200d🚒🏽",
    "\u2028\u2029\x85 \ufeff",
    "光猫",
    "{}",
    "[1]",
    "4",
]
SAID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    AWKWARD
)
FULL = SAID.filter(str.strip)
LABELS = FULL.map(str.strip)
unhurried = settings(deadline=None, max_examples=15)  # two cores may be busy with something else


@st.composite
def single_turns(draw: st.DrawFn) -> Sample:
    system = draw(st.none() | SAID.filter(bool))
    opening: list[tuple[Role, str]] = [] if system is None else [("system", system)]
    label = draw(st.none() | SAID.filter(bool))
    return talk(*opening, ("user", draw(SAID)), ("assistant", draw(SAID)), label=label)


@st.composite
def conversations(draw: st.DrawFn) -> Sample:
    turns = draw(st.lists(st.tuples(st.sampled_from(get_args(Role)), SAID), min_size=1, max_size=4))
    return talk(*turns, label=draw(st.none() | SAID.filter(bool)))


@st.composite
def labelled(draw: st.DrawFn) -> Sample:
    label = draw(LABELS)
    return talk(("user", draw(FULL)), ("assistant", label), label=label)


WHAT_IT_HOLDS: dict[Format, st.SearchStrategy[Sample]] = {
    "messages": conversations(),
    "sharegpt": conversations(),
    "alpaca": single_turns(),
    "prompt_completion": single_turns(),
    "text_label": labelled(),
}


@pytest.mark.parametrize(("format", "kind"), itertools.product(WHAT_IT_HOLDS, KINDS))
def test_what_is_written_is_read_back(format: Format, kind: str) -> None:
    @unhurried
    @given(st.lists(WHAT_IT_HOLDS[format], min_size=1, max_size=4))
    def holds(samples: list[Sample]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"rows{kind}"
            assert write_samples(path, iter(samples), format) == len(samples)
            read = list(read_samples(path, task="t"))
        assert [(s.id, s.messages, s.label) for s in read] == [(s.id, s.messages, s.label) for s in samples]

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_come_with_their_lines(tmp_path: Path, kind: str) -> None:
    rows = [("hello,\nyou", "greet"), ("hello,\nyou", "greet"), ("bye", "leave")]
    write_samples(
        tmp_path / f"s{kind}", [talk(("user", t), ("assistant", lb), label=lb) for t, lb in rows], "text_label"
    )
    lines = [2, 4, 6] if kind in (".csv", ".tsv") else [1, 2, 3]
    assert read_labelled(tmp_path / f"s{kind}") == [
        LabelledText(line, *row) for line, row in zip(lines, rows, strict=True)
    ]


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"messages": []}, "messages"),
        ({"id": 1, "Conversations": []}, "sharegpt"),
        ({"instruction": "i", "input": "x", "output": "o", "text": "all of it"}, "alpaca"),
        ({"prompt": "p", "completion": "c"}, "prompt_completion"),
        ({"question": "q", "answer": "a", "category": "c"}, "prompt_completion"),
        ({"question": "q", "category": "c"}, "text_label"),
        *(({text.upper(): "t", label.title(): "l"}, "text_label") for text in TEXT for label in LABEL),
    ],
)
def test_a_format_is_known_by_its_columns(row: dict[str, Any], format: Format) -> None:
    assert detect(row) == format


def test_unknown_columns_are_named_beside_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"\(`prompt`, `answers`\) are not recognised.*messages; or .*text \| message"):
        detect({"prompt": "p", "answers": ["a"]})


@pytest.mark.parametrize(
    ("row", "turns", "label"),
    [
        (
            {"instruction": "add", "input": "1 2", "output": "3", "system": "be brief"},
            [("system", "be brief"), ("user", "add\n\n1 2"), ("assistant", "3")],
            None,
        ),
        ({"question": "2 + 2?", "answer": 4}, [("system", "S"), ("user", "2 + 2?"), ("assistant", "4")], None),
        ({"text": "hi", "label": " greet\t"}, [("system", "S"), ("user", "hi"), ("assistant", "greet")], "greet"),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "label": 11},
            [("system", "S"), ("user", "a"), ("assistant", "b")],
            "11",
        ),
        ({"messages": [{"role": "system", "content": "own"}]}, [("system", "own")], None),
    ],
)
def test_a_row_becomes_a_conversation(tmp_path: Path, row: Any, turns: list[tuple[str, str]], label: str) -> None:
    path = lines_of(tmp_path, json.dumps(row))
    (sample,) = read_samples(path, task="qa", system="S", origin="seed")
    assert [(turn.role, turn.content) for turn in sample.messages] == turns
    assert (sample.label, sample.task, sample.origin, sample.source) == (label, "qa", "seed", "rows.jsonl:1")


def test_of_several_columns_that_would_do_the_one_listed_first_counts(tmp_path: Path) -> None:
    path = lines_of(tmp_path, '{"class": "c", "content": "x", "Label": "l", "query": "q"}')
    assert read_labelled(path) == [LabelledText(1, "q", "l")]


def test_a_first_row_without_a_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:2: the columns \(`text`\) are not recognised"):
        read_labelled(lines_of(tmp_path, "", '{"text": "a"}', GOOD))


def test_duplicates_stay_and_the_first_row_sets_the_format(tmp_path: Path) -> None:
    path = lines_of(tmp_path, '{"text": "a", "label": "b"}', '{"text": "a", "label": "b"}')
    assert len(list(read_samples(path, task="t"))) == 2
    path = lines_of(tmp_path, '{"text": "a", "label": "b"}', '{"prompt": "a", "completion": "b"}')
    with pytest.raises(DataError, match=r"rows\.jsonl:2: `text` is missing"):
        list(read_samples(path, task="t"))


def test_blank_lines_a_byte_order_mark_and_crlf_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeff\r\ntext,label\r\n\r\n"a\r\nb",x\r\n   \r\nc,y\r\n\r\n'.encode())
    assert read_labelled(path) == [LabelledText(4, "a\r\nb", "x"), LabelledText(7, "c", "y")]
    path = tmp_path / "rows.jsonl"
    path.write_bytes('\ufeff{"text": "a", "label": "x"}\r\n \r\n{"text": "c", "label": "y"}'.encode())
    assert read_labelled(path) == [LabelledText(1, "a", "x"), LabelledText(3, "c", "y")]


@pytest.mark.parametrize("kind", KINDS)
def test_drops_are_written_with_their_reasons_and_scores(tmp_path: Path, kind: str) -> None:
    sample = talk(("user", "a"), ("assistant", "b"), label="b").with_scores(margin=-0.5).rejected("label_disagrees")
    path = tmp_path / f"dropped{kind}"
    write_samples(path, [sample], "text_label", also=["reject_reason", "scores"])
    ((_, row),) = read_rows(path)
    assert (row["text"], row["label"], row["reject_reason"]) == ("a", "b", "label_disagrees")
    assert (json.loads(row["scores"]) if kind in (".csv", ".tsv") else row["scores"]) == {"margin": -0.5}
    assert [read.label for read in read_samples(path, task="t")] == ["b"]


def test_no_samples_make_a_file_that_says_so(tmp_path: Path) -> None:
    for kind in KINDS:
        assert write_samples(tmp_path / f"none{kind}", iter([]), "messages") == 0
        with pytest.raises(DataError, match="the file has no rows"):
            list(read_samples(tmp_path / f"none{kind}", task="t"))


def test_a_parquet_file_of_samples_keeps_all_it_knows(tmp_path: Path) -> None:
    samples = [talk(("user", "a"), ("assistant", "b")).with_scores(margin=0.5).rejected("novelty")]
    write_parquet(tmp_path / "kept.parquet", samples)
    assert list(read_samples(tmp_path / "kept.parquet", task="other")) == samples


@pytest.mark.parametrize("kind", [".jsonl", ".csv"])
def test_rows_are_read_one_by_one(tmp_path: Path, kind: str) -> None:
    """The error of the last row comes after all the others were handed out: nothing is read ahead but a buffer."""
    path = tmp_path / f"rows{kind}"
    write_samples(path, (talk(("user", f"{n}"), ("assistant", "b"), label="b") for n in range(5_000)), "text_label")
    with path.open("ab") as stream:
        stream.write(b"\xff\n")
    read: Iterator[Sample] = read_samples(path, task="t")
    assert [sample.prompt for sample in itertools.islice(read, 5_000)] == [str(n) for n in range(5_000)]
    with pytest.raises(DataError, match=rf"rows\{kind}:{5_001 + (kind == '.csv')}: this line is not UTF-8"):
        next(read)


def test_other_programs_read_our_csv(tmp_path: Path) -> None:
    write_samples(tmp_path / "r.csv", [talk(("user", 'a "b",\nc'), ("assistant", "x"), label="x")], "text_label")
    with (tmp_path / "r.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [["text", "label"], ['a "b",\nc', "x"]]
