"""An exported pool: the rows, the card that Hugging Face reads, and LLaMA-Factory's description of the columns."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from wheelwork.core.digests import digest_file
from wheelwork.core.errors import DataError
from wheelwork.core.formats import Format, detect, read_samples
from wheelwork.core.loops import read_settings
from wheelwork.core.pool.export import describe, export
from wheelwork.core.pool.store import Pool
from wheelwork.core.samples import Message, Sample
from wheelwork.tests.core.pool.rows import a_pool, conclude, samples
from wheelwork.tests.e2e.command import tiny_loop, write_config

FORMATS: tuple[Format, ...] = get_args(Format)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    pool = a_pool(tmp_path / "home", rows=30)
    conclude(pool, 1, samples(6, start=100), "rejected")
    pool.exclude({samples(1)[0].id: "wrong"})
    return pool


def written(pool: Pool, tmp_path: Path, format: Format = "messages", **settings: Any) -> Path:
    folder = tiny_loop(tmp_path / "loop", models=False)
    write_config(folder, **settings)
    out = tmp_path / f"set-{format}"
    assert export(pool, pool.find("head"), read_settings(folder), "loop", format, out) == 29
    return out


def head_of(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    read: dict[str, Any] = yaml.safe_load(head)
    return read


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_accepted_samples_in_order(pool: Pool, tmp_path: Path, format: Format) -> None:
    out = written(pool, tmp_path, format)
    rows = [json.loads(line) for line in (out / "data.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {detect(row) for row in rows} == {format}
    accepted = samples(30)[1:]
    assert [row["id"] for row in rows] == [one.id for one in accepted]
    assert all(row["source"] == "teacher:t" and row["weight"] == 1 for row in rows)
    back = list(read_samples(out / "data.jsonl", task="classify"))
    assert [(one.prompt, one.completion, one.label) for one in back] == [
        (one.prompt, one.completion, one.label) for one in accepted
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_the_description_names_columns_that_are_there(pool: Pool, tmp_path: Path, format: Format) -> None:
    out = written(pool, tmp_path, format)
    (told,) = json.loads((out / "dataset_info.json").read_text(encoding="utf-8")).values()
    assert told == describe(format) and (out / told["file_name"]).is_file()
    row = json.loads((out / "data.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert set(told["columns"].values()) <= set(row)
    if told["formatting"] == "sharegpt":
        turns, tags = row[told["columns"]["messages"]], told["tags"]
        assert [turn[tags["role_tag"]] for turn in turns] == [
            tags["system_tag"], tags["user_tag"], tags["assistant_tag"],
        ]  # fmt: skip
        assert all(turn[tags["content_tag"]] for turn in turns)


def test_the_head_of_the_card_is_what_hugging_face_reads(pool: Pool, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    out = written(pool, tmp_path, license="cc-by-4.0", language="en")
    card = DatasetCard.load(out / "README.md")
    assert card.data.to_dict() == head_of((out / "README.md").read_text(encoding="utf-8"))
    assert card.data.license == "cc-by-4.0" and card.data.language == ["en"]
    assert card.data.task_categories == ["text-classification"] and card.data.size_categories == ["n<1K"]
    assert card.data.configs[0]["data_files"] == [{"split": "train", "path": "data.jsonl"}]


def test_a_licence_that_nobody_gave_is_unknown(pool: Pool, tmp_path: Path) -> None:
    assert head_of((written(pool, tmp_path) / "README.md").read_text(encoding="utf-8"))["license"] == "unknown"


def test_the_card_tells_counts_funnel_checksums_seeds_and_commands(pool: Pool, tmp_path: Path) -> None:
    out = written(pool, tmp_path)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "29 samples of the task `classify`" in card and "6 samples of other rounds and 1 that people" in card
    assert "| wifi | 10 | 34% |" in card and "| line | 9 | 31% |" in card
    assert "| 0000-abcdef01 | 0 | promoted | 32 | 32 | 30 | too_short 2 |" in card
    assert digest_file(out / "data.jsonl") in card and str(pool.head()) in card
    assert "wheelwork improve loop --samples 8 --seed 1" in card
    assert f"wheelwork pool export loop --format messages --out DIR --version {pool.head()}" in card
    assert str(tmp_path) not in card


def test_the_same_version_gives_the_same_bytes(pool: Pool, tmp_path: Path) -> None:
    out = written(pool, tmp_path)
    before = {path.name: digest_file(path) for path in out.iterdir()}
    assert {path.name: digest_file(path) for path in written(pool, tmp_path).iterdir()} == before
    assert sorted(before) == ["README.md", "data.jsonl", "dataset_info.json"]


def test_a_folder_with_other_files_is_left_alone(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "set-messages").mkdir()
    (tmp_path / "set-messages" / "mine.txt").touch()
    with pytest.raises(DataError, match="set-messages: holds other files; give the name of a new folder"):
        written(pool, tmp_path)
    assert [path.name for path in (tmp_path / "set-messages").iterdir()] == ["mine.txt"]


def test_a_pool_without_an_accepted_sample_is_told(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "home", "tiny")
    conclude(pool, 0, samples(3), "rejected")
    with pytest.raises(DataError, match=r"has no accepted sample at [0-9a-f]{12}; nothing was written"):
        written(pool, tmp_path)
    assert not (tmp_path / "set-messages").exists()


def test_a_format_that_cannot_hold_a_conversation_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "home", "tiny")
    said = ("a", "b", "c", "d")
    turns = [Message(role=("user", "assistant")[n % 2], content=text) for n, text in enumerate(said)]  # type: ignore[arg-type]
    conclude(pool, 0, [Sample.make(turns, task="dialogue", origin="teacher")])
    with pytest.raises(DataError, match="alpaca holds one question and its answer: write messages or sharegpt"):
        written(pool, tmp_path, "alpaca")
    assert not (tmp_path / "set-alpaca" / "data.jsonl").exists()
