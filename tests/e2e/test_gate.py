"""`wheelwork gate` as users run it: verdicts as exit codes, one sentence and exit code 2 for what cannot be judged."""

import json
from pathlib import Path

import pytest
from wheelwork.tests.e2e.command import Command

ROOT = Path(__file__).parents[2]
PAIR = [str(ROOT / "examples" / "gate" / name) for name in ("old.jsonl", "new.jsonl")]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


def test_the_verdict_is_the_exit_code(command: Command) -> None:
    arguments = ["gate", "--champion", PAIR[0], "--candidate", PAIR[1]]
    ran = command.run(*arguments, "--json")
    assert (ran.code, json.loads(ran.out)["verdict"]) == (0, "promoted"), ran.err
    assert command.run(*arguments, "--slice-limit", "0.1").code == 10
    assert command.run(*arguments, "--look", "50").code == 11
    assert not command.home.exists()


def test_what_cannot_be_judged_is_one_sentence(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "m001", "score": NaN}\n', encoding="utf-8")
    ran = command.run("gate", "--champion", PAIR[0], "--candidate", str(broken))
    assert ran.code == 2
    assert "Traceback" not in ran.err + ran.out
    assert ran.sentence == (
        f"wheelwork: {broken}:1: the score of item `m001` is nan, which is no score; write null where nobody can say"
    )
