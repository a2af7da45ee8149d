"""The files of `wheelwork generate`: what is whole on one side, what is not beside it with its reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.generation.standalone import write_file
from wheelwork.core.samples import Message, Sample, read_parquet


def row(text: str, finish: str = "stop", task: str = "qa", **rest: Any) -> Sample:
    turns = (Message(role="user", content=text), Message(role="assistant", content="in May"))
    return Sample.make(turns, task=task, origin="teacher", controls={"finish": finish}, **rest)


def reasons_of(path: Path) -> dict[str, str]:
    if path.suffix == ".parquet":
        return {sample.prompt: sample.reject_reason or "" for sample in read_parquet(path)}
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["messages"][0]["content"]: row["reject_reason"] for row in rows}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_the_token_limit_cut_is_dropped_with_its_reason(tmp_path: Path, suffix: str) -> None:
    rows = [
        row("when does it open?"),
        row("when does it", "length"),
        row("when?", "length").rejected("empty_field"),
        row("who pays?", "other"),
    ]
    outcome = write_file(rows, tmp_path / f"out{suffix}")
    assert (outcome.made, outcome.dropped) == (2, {"cut_off": 1, "empty_field": 1})
    assert outcome.dropped_path == tmp_path / f"out.dropped{suffix}"
    assert reasons_of(outcome.dropped_path) == {"when does it": "cut_off", "when?": "empty_field"}
    kept = write_file(rows, tmp_path / f"out{suffix}", keep_cut=True)
    assert (kept.made, kept.dropped) == (3, {"empty_field": 1})


def test_code_that_passed_its_test_misses_no_end(tmp_path: Path) -> None:
    outcome = write_file([row("add two numbers", "length", "code")], tmp_path / "out.jsonl")
    assert (outcome.made, outcome.dropped) == (1, {})
    assert not outcome.dropped_path.exists()


def test_a_file_of_dropped_rows_goes_when_nothing_is_dropped_any_more(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    dropped = write_file([row("when does it", "length")], out).dropped_path
    assert dropped.exists()
    write_file([row("when does it open?")], out)
    assert not dropped.exists()
