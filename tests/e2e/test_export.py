"""`wheelwork export`, `adapters merge` and `distill` before there is anything to export, in one sentence each."""

from pathlib import Path

import pytest
from wheelwork.tests.e2e.command import Command, tiny_loop
from wheelwork.tests.e2e.test_errors import refused


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_loop(tmp_path_factory.mktemp("export") / "loop", models=False)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "home", tmp_path / "models")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--format", "gguf"], "has no champion yet; run `wheelwork improve"),
        (["--format", "peft", "--alias", "candidate"], "has no candidate yet"),
        (["--format", "peft", "--version", "7"], "has no adapter of version 7"),
        (["--format", "ggfu"], "--format ggfu: there is no such format; did you mean `gguf`?"),
        (["--format", "gguf", "--quantize", "q4_k_m"], "take one of f32, f16"),
        (["--format", "merged", "--dtype", "int4"], "--dtype int4: there is no such dtype"),
        (["--format", "peft", "--alias", "newest"], "take champion or candidate"),
        (["--format", "peft", "--alias", "champion", "--version", "1"], "give one of them"),
    ],
)
def test_what_cannot_be_exported_is_told_at_once(loop: Path, command: Command, options: list[str], why: str) -> None:
    assert why in refused(command.run("export", str(loop), *options))
    assert not (command.home / "mlflow.db").exists()


def test_a_student_needs_a_champion(loop: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "has no champion yet" in refused(command.run("distill", str(loop), "--student", "x", "--out", str(out)))
    assert not out.exists()


def test_adapters_to_merge_are_told_apart(loop: Path, command: Command, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    merge = ("adapters", "merge")
    assert "there is no such folder" in refused(command.run(*merge, str(tmp_path / "a"), str(tmp_path / "b"), *out))
    assert "has no champion yet" in refused(command.run(*merge, f"{loop}@champion", str(tmp_path / "b"), *out))
    said = refused(command.run(*merge, "a", "b", "--weights", "1,2,3", *out))
    assert "3 weights for 2 adapters" in said
