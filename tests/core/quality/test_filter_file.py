"""A funnel over files: nothing is lost, nothing altered but by a filter; and what stands around it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wheelwork.core.errors import ConfigError, DataError, UserError
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.duplicates import ExactDuplicates
from wheelwork.core.quality.files.run import check_paths, processes_for, standalone
from wheelwork.core.quality.files.source import SourceFile, read_all
from wheelwork.core.quality.filters import Novelty, Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.samples import Message, Sample, read_parquet, write_parquet
from wheelwork.tests.core.quality.filtering import KINDS, MASK, ROWS, beside, rows_of, run, write
from wheelwork.tests.fakes import FakeEncoder

# the five kinds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", KINDS)
def test_what_is_kept_has_every_column_in_order_and_drops_have_their_reason(
    tmp_path: Path, kind: str, written: str
) -> None:
    source, out = write(tmp_path / f"in{kind}", ROWS), tmp_path / f"out{written}"
    result = run(source, out)
    assert rows_of(out) == [ROWS[0], ROWS[2], ROWS[4]]
    assert [list(row) for row in rows_of(out)] == [list(ROWS[0])] * 3
    whole = written in (".jsonl", ".json")  # which leave out what is not there
    first = 1 if kind in (".json", ".parquet") else 2 if kind in (".csv", ".tsv") else 1
    none = {"duplicate_of": None} if written == ".parquet" else {} if whole else {"duplicate_of": ""}
    dropped = [
        ROWS[1] | {"reject_reason": "too_short"} | none,
        ROWS[3] | {"reject_reason": "duplicate", "duplicate_of": f"in{kind}:{first}"},
    ]
    assert rows_of(beside(out, f"dropped{written}")) == dropped
    assert (result.rows, result.kept, result.dropped) == (5, 3, {"too_short": 1, "duplicate": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({source.name, out.name, f"out.dropped{written}"})


def test_json_lines_go_through_byte_by_byte(tmp_path: Path) -> None:
    line = (
        '{"n": 1.50, "big": 123456789012345678901234567890, "nan": NaN,  "text": "the l\\u0069ne is down", "label":"x"}'
    )
    (tmp_path / "in.jsonl").write_text(f"\ufeff{line}\r\n\n{line}", encoding="utf-8")
    run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == f"{line}\n"
    (dropped,) = (tmp_path / "out.dropped.jsonl").read_text().splitlines()
    assert "123456789012345678901234567890" in dropped


def test_a_table_keeps_its_types(tmp_path: Path) -> None:
    schema = pa.schema([("text", pa.large_string()), ("n", pa.int8()), ("tags", pa.map_(pa.string(), pa.int32()))])
    table = pa.table([["the line is down", "no"], [1, 2], [[("a", 1)], []]], schema=schema.with_metadata({"who": "me"}))
    pq.write_table(table, tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.equals(pq.read_schema(tmp_path / "in.parquet"), check_metadata=True)
    assert found.to_pylist() == table.slice(0, 1).to_pylist()
    dropped = pq.read_schema(tmp_path / "out.dropped.parquet")
    assert dropped.names == ["text", "n", "tags", "reject_reason"]


def test_json_of_different_columns_becomes_one_table(tmp_path: Path) -> None:
    rows = [{"prompt": "the line is down", "n": 1}, {"prompt": "the bill is high", "n": 1.5, "more": ["a"]}]
    source = write(tmp_path / "in.jsonl", rows)
    run(source, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [rows[0] | {"more": None}, rows[1]]
    source = write(tmp_path / "mixed.jsonl", [rows[0], rows[1] | {"n": "one"}])
    with pytest.raises(DataError, match="the column `n` fits no table"):
        run(source, tmp_path / "mixed.parquet")


def test_whole_samples_keep_their_columns_and_get_their_scores(tmp_path: Path) -> None:
    texts = ["the line is down again", "the line is down again now", "no"]
    samples = [Sample.make([Message(role="user", content=text)], task="chat", origin="teacher") for text in texts]
    samples.append(samples[0].rejected("no_reply"))
    write_parquet(tmp_path / "in.parquet", samples)
    funnel = Funnel(filters=(Rules(), Novelty(max_cosine=0.99)))
    context = FunnelContext(FakeEncoder(), [(texts[0], "")])
    result = run(tmp_path / "in.parquet", tmp_path / "out.parquet", funnel, context=context)
    (kept,), dropped = read_parquet(tmp_path / "out.parquet"), list(read_parquet(tmp_path / "out.dropped.parquet"))
    assert (kept.id, set(kept.scores)) == (samples[1].id, {"nearest_seed"})
    assert [one.reject_reason for one in dropped] == ["not_novel", "too_short", "no_reply"]
    assert dropped[0].scores["nearest_seed"] == pytest.approx(1)
    assert (result.rejected_before, result.filters[0].rows_in) == ({"no_reply": 1}, 3)


# formats


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("row", "changed"),
    [
        ({"text": "write to a@b.cn please", "label": "x"}, {"text": "write to [EMAIL] please"}),
        ({"query": "write to a@b.cn please"}, {"query": "write to [EMAIL] please"}),
        ({"prompt": "hello my dear friend", "completion": "a@b.cn"}, {"completion": "[EMAIL]"}),
        (
            {"system": "be a@b.cn", "question": "hello my dear friend", "answer": "yes"},
            {"system": "be [EMAIL]"},
        ),
        ({"instruction": "say a@b.cn\n\nnow", "input": "to c@d.cn", "output": "ok"},
         {"instruction": "say [EMAIL]\n\nnow", "input": "to [EMAIL]"}),
        ({"instruction": "say a@b.cn now", "input": "", "output": "ok"}, {"instruction": "say [EMAIL] now"}),
    ],
)  # fmt: skip
def test_what_a_filter_changed_stands_in_its_column(
    tmp_path: Path, kind: str, row: dict[str, Any], changed: dict[str, str]
) -> None:
    rows = [{"n": "1", **row}, {"n": "2", **dict.fromkeys(row, "this one is clean")}]
    run(write(tmp_path / f"in{kind}", rows), tmp_path / f"out{kind}", MASK)
    assert rows_of(tmp_path / f"out{kind}") == [rows[0] | changed, rows[1]]


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("column", "who", "what"), [("messages", "role", "content"), ("conversations", "from", "value")]
)
def test_turns_keep_what_else_they_have(tmp_path: Path, column: str, who: str, what: str, as_text: bool) -> None:
    def turns(text: str) -> Any:
        user = {"messages": "user", "conversations": "human"}[column]
        said = [{who: user, what: text, "at": "noon"}, {who: "assistant" if user == "user" else "gpt", what: "ok"}]
        return json.dumps(said) if as_text else said

    source = write(tmp_path / ("in.csv" if as_text else "in.jsonl"), [{column: turns("it is a@b.cn"), "n": "1"}])
    out = tmp_path / f"out{source.suffix}"
    run(source, out, MASK)
    (row,) = rows_of(out)
    found = json.loads(row[column]) if as_text else row[column]
    assert found == (json.loads(turns("it is [EMAIL]")) if as_text else turns("it is [EMAIL]"))


def test_a_dropped_row_is_written_as_it_was_when_it_was_dropped(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": "a@b.cn is gone for good"}, {"text": "a@b.cn is here to stay"}])
    run(source, tmp_path / "out.jsonl", MASK)
    assert rows_of(tmp_path / "out.dropped.jsonl") == [{"text": "[EMAIL] is gone for good", "reject_reason": "debris"}]


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_a_column_of_numbers_can_say_who_is_the_best(tmp_path: Path, kind: str) -> None:
    rows = [{"text": "the line is down", "quality": value} for value in ("0.2", "0.9", "none", "0.5")]
    rows = rows if kind == ".csv" else [row | {"quality": float(row["quality"].replace("none", "-1"))} for row in rows]
    source, out = write(tmp_path / f"in{kind}", rows), tmp_path / f"out{kind}"
    run(source, out, Funnel(filters=(ExactDuplicates(keep="best", best_by="quality"),)))
    assert rows_of(out) == [rows[1]]


# scores


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_filters_ask_for_are_read_and_scores_are_written_where_they_are_wanted(
    tmp_path: Path, kind: str
) -> None:
    rows = [
        {"prompt": "where?", "completion": "in the kitchen", "Reference": "in the kitchen"},
        {"prompt": "when?", "completion": "in the evening", "Reference": "quite otherwise"},
    ]
    source, out = write(tmp_path / f"in{kind}", rows), tmp_path / "out.jsonl"
    funnel = Funnel.model_validate({"filters": [{"kind": "rouge_l", "against": "Reference", "min": 0.5}]})
    result = run(source, out, funnel, with_scores=True)
    assert rows_of(out) == [rows[0] | {"scores": {"rouge_l": 1.0}}]
    assert rows_of(beside(out, "dropped.jsonl"))[0]["reject_reason"] == "rouge_l_low"
    assert result.filters[0].figures["scored"] == 2
    table = tmp_path / f"table{kind}"
    run(source, table, funnel, with_scores=True)
    assert "scores" in rows_of(table)[0]
    run(source, table, funnel)
    assert rows_of(table) == [rows[0]], "unless they are wanted a row stays as it is"


def test_figures_of_several_processes_add_up(tmp_path: Path) -> None:
    from wheelwork.core.parallel import in_processes

    rows = [{"text": f"message {n} about {n % 7} lines", "reference": "x"} for n in range(5000)]
    funnel = Funnel.model_validate({"filters": [{"kind": "diversity", "sample": 50}, {"kind": "bleu"}]})
    source = write(tmp_path / "in.jsonl", rows)
    alone = run(source, tmp_path / "alone.jsonl", funnel)
    together = run(source, tmp_path / "together.jsonl", funnel, each=in_processes(2))
    assert [one.figures for one in alone.filters] == [one.figures for one in together.filters]
    assert alone.filters[1].figures["unscored"] == 5000 and alone.filters[0].figures["texts"] == 50


# around it


def test_examples_are_few_short_and_masked(tmp_path: Path) -> None:
    rows = [{"text": f"write to user{n}@b.cn " + "and so on " * 40} for n in range(5)]
    source = write(tmp_path / "in.jsonl", rows)
    funnel = Funnel(filters=(PersonalData(),))
    result = run(source, tmp_path / "out.jsonl", funnel, examples=2)
    assert len(result.examples["personal_data"]) == 2
    assert all(
        text.startswith("write to [EMAIL] and") and text.endswith("…") for text in result.examples["personal_data"]
    )
    assert run(source, tmp_path / "out.jsonl", funnel, examples=0).examples == {}


def test_files_of_an_earlier_run_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "the line is down"}\n{"text": "no"}\n{\n')
    run(source, tmp_path / "out.jsonl")
    assert {path.name for path in tmp_path.glob("out.*")} == {"out.jsonl", "out.dropped.jsonl", "out.quarantined.jsonl"}
    source.write_text('{"text": "the line is down"}\n')
    run(source, tmp_path / "out.jsonl")
    assert {path.name for path in tmp_path.glob("out.*")} == {"out.jsonl"}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)

    def touched(label: str, done: int, total: int) -> None:
        with source.open("a") as stream:
            stream.write('{"text": "one more row"}\n')

    with pytest.raises(DataError, match="changed while it was read"):
        run(source, tmp_path / "out.jsonl", progress=touched)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("source", "out", "others"),
    [
        ("a.jsonl", "a.jsonl", []),
        ("a.jsonl", "./b/../a.jsonl", []),
        ("a.dropped.jsonl", "a.jsonl", []),
        ("a.quarantined.jsonl", "a.csv", []),
        ("a.jsonl", "b.jsonl", ["b.dropped.jsonl"]),
        ("a.jsonl", "b.jsonl", ["r.json", "r.json"]),
        ("a.jsonl", "s.csv", []),
    ],
)
def test_no_file_is_written_over_another_of_the_run(tmp_path: Path, source: str, out: str, others: list[str]) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match="would be written over"):
        check_paths(tmp_path / source, tmp_path / out, [tmp_path / name for name in others], [tmp_path / "s.csv"])


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this is no file"):
        SourceFile(tmp_path)


def test_rows_to_compare_with_must_all_be_read(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"text": "the line is down"}\n{"text": 1.5}\n')
    with pytest.raises(DataError, match=r"seeds\.jsonl:2: `text` must be text"):
        read_all(tmp_path / "seeds.jsonl")


def test_without_seeds_no_filter_needs_any() -> None:
    assert standalone(False).needs == {}
    assert standalone(True).needs == {"seeds": "novelty", "encoder": "novelty"}


def test_a_small_file_is_worth_one_process(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(b"x" * (9 << 20))
    assert (processes_for(tmp_path / "small", 4), processes_for(tmp_path / "large", 4)) == (1, 4)
