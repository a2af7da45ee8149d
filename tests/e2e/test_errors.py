"""What a user gets wrong, told by the real command: one sentence with place and remedy, exit code 2, at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from wheelwork.tests.e2e.command import Command, Ran, line_of, rows, tiny_loop, write_config, write_rows

QUICK = 60.0  # seconds; the mistakes are found before Prefect, MLflow or torch are imported, but a machine may be busy


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop without a mistake, to copy."""
    return tiny_loop(tmp_path_factory.mktemp("whole") / "loop")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def loop(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "loop"))


@pytest.fixture
def command(tmp_path: Path, models: Path) -> Command:
    return Command(tmp_path / "home", models)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def refused(ran: Ran) -> str:
    """The one sentence of a user's mistake."""
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err + ran.out
    assert ran.err.strip().startswith("wheelwork: "), ran.err
    assert len(ran.err.strip().splitlines()) == 1, ran.err
    return ran.sentence


def broken_row(loop: Path) -> None:
    append(loop / "seeds.jsonl", '{"text": "never closed, "label": "line"}\n')


def unknown_label(loop: Path) -> None:
    append(loop / "seeds.jsonl", '{"text": "the line again", "label": "lines"}\n')


def held_out_seed(loop: Path) -> None:
    append(loop / "holdout.jsonl", json.dumps(rows(1)[0]) + "\n")


def row_without_label(loop: Path) -> None:
    append(loop / "holdout.jsonl", '{"text": "the line again"}\n')


@pytest.mark.parametrize(
    ("mistake", "file", "line", "words"),
    [
        (broken_row, "seeds.jsonl", 13, "JSON"),
        (unknown_label, "seeds.jsonl", 13, "did you mean `line`?"),
        (held_out_seed, "holdout.jsonl", 49, "seeds.jsonl:1"),
        (row_without_label, "holdout.jsonl", 49, "`label`"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(
    loop: Path, command: Command, mistake: Callable[[Path], None], file: str, line: int, words: str
) -> None:
    mistake(loop)
    ran = command.run("improve", str(loop), patience=QUICK)
    sentence = refused(ran)
    assert line_of(sentence, loop / file) == line
    assert words in sentence
    assert not command.home.exists()  # nothing was begun


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trian": {"rank": 4}}, "unknown key `trian`; did you mean `train`?"),
        ({"train": {"epoch": 4}}, "unknown key `train.epoch`; did you mean `epochs`?"),
        ({"train": {"rank": 0}}, "`train.rank`"),
        ({"train": {"dora": True}}, "`train.dora` and the engine llamacpp do not go together"),
        ({"train": {"preset": "gpu"}}, "`train.preset`"),
        ({"seeds": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"suites": {}}, "`suites`"),
    ],
)
def test_a_bad_setting_is_named_with_what_would_do(
    loop: Path, command: Command, settings: dict[str, Any], words: str
) -> None:
    write_config(loop, **settings)
    sentence = refused(command.run("improve", str(loop), patience=QUICK))
    assert str(loop) in sentence and words in sentence


def test_a_folder_that_is_not_there(tmp_path: Path, command: Command) -> None:
    sentence = refused(command.run("improve", str(tmp_path / "nowhere"), patience=QUICK))
    assert f"{tmp_path / 'nowhere'}: there is no such folder" in sentence
    assert "wheelwork init" in sentence


def test_a_folder_without_a_loop(tmp_path: Path, command: Command) -> None:
    assert f"{tmp_path / 'loop.yaml'}" in refused(command.run("improve", str(tmp_path), patience=QUICK))


def test_no_seeds(loop: Path, command: Command) -> None:
    (loop / "seeds.jsonl").write_text("", encoding="utf-8")
    assert str(loop / "seeds.jsonl") in refused(command.run("improve", str(loop), patience=QUICK))


def test_a_label_without_seeds(loop: Path, command: Command) -> None:
    write_rows(loop / "seeds.jsonl", [row for row in rows(4) if row["label"] != "wifi"])
    sentence = refused(command.run("improve", str(loop), patience=QUICK))
    assert str(loop / "seeds.jsonl") in sentence and "no seed for the label `wifi`" in sentence


@pytest.mark.parametrize("start", [b"<!DOCTYPE html>", b"GGUF\x03\0\0\0"], ids=["a web page", "cut off"])
def test_a_damaged_model_file(loop: Path, command: Command, start: bytes) -> None:
    (loop / "tiny.gguf").write_bytes(start + bytes(range(256)) * 8)
    ran = command.run("improve", str(loop))
    assert ran.code == 2 and "Traceback" not in ran.err
    assert f"{loop / 'tiny.gguf'}: " in ran.sentence and "download it again" in ran.sentence


def test_a_file_in_place_of_the_state_folder(loop: Path, tmp_path: Path, models: Path) -> None:
    (tmp_path / "home").write_text("mine", encoding="utf-8")
    ran = Command(tmp_path / "home", models).run("improve", str(loop))
    assert ran.code == 2 and "Traceback" not in ran.err
    assert f"{tmp_path / 'home'}: a file is in the way of this folder" in ran.sentence
    assert (tmp_path / "home").read_text(encoding="utf-8") == "mine"


def test_a_state_folder_that_nobody_can_write(loop: Path, models: Path) -> None:
    ran = Command(Path("/proc/wheelwork"), models).run("improve", str(loop))
    assert ran.code == 2 and "Traceback" not in ran.err
    assert "/proc/wheelwork" in ran.sentence and "WHEELWORK_HOME" in ran.sentence


def test_a_second_round_while_one_runs(loop: Path, command: Command) -> None:
    (command.home / "locks").mkdir(parents=True)
    with FileLock(command.home / "locks" / "tiny.lock"):
        ran = command.run("improve", str(loop))
    assert ran.code == 2 and "Traceback" not in ran.err
    assert "a round of the loop `tiny` is running already" in ran.sentence
    assert command.running() == []


def test_an_option_that_there_is_not(command: Command) -> None:
    ran = command.run("improve", "home_broadband", "--sample", "3", patience=QUICK)
    assert ran.code == 2 and "--samples" in ran.err and "Traceback" not in ran.err
