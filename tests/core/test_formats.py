"""Formats: what is written is read back; what is malformed is named by its line."""

import csv
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
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
from wheelwork.core.samples import Message, Role, Sample, write_parquet

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


def talk(*turns: tuple[Role, str], label: str | None = None) -> Sample:
    return Sample.make([Message(role=r, content=c) for r, c in turns], task="t", origin="import", label=label)


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


def lines_of(folder: Path, *lines: str, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass"))
    return path


GOOD = '{"text": "a", "label": "b"}'


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
