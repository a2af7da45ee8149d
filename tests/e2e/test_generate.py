"""`wheelwork generate` by itself: every row accounted for, nothing asked twice, clear words for what is wrong."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from wheelwork.core.formats import read_samples
from wheelwork.core.samples import read_parquet
from wheelwork.tests.core.test_chat_mock_teacher import mock_teacher
from wheelwork.tests.e2e.command import Command, until


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    made = Command(tmp_path / "state")
    yield made
    made.end_all()


def options(url: str, out: Path, n: int, task: str = "qa") -> list[str]:
    return [
        "generate", "--task", task, "--about", "Members ask a library.", "--n", str(n), "--out", str(out),
        "--teacher", url, "--model", "mock", "--parallel", "16",
    ]  # fmt: skip


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def stats(url: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(url.replace("/v1", "/stats"), trust_env=False).json()
    return found


def test_a_killed_generation_goes_on_and_every_row_is_accounted_for(command: Command, tmp_path: Path) -> None:
    out, n = tmp_path / "out.jsonl", 1500
    with mock_teacher(latency=20, limited=0.05, malformed=0.02, dropped=0.01, seed=3) as url:
        killed = command.start(*options(url, out, n))
        until(lambda: stats(url).get("answered", 0) > n // 4, killed, "a quarter of the rows")
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        assert not out.exists(), "the file appears whole or not at all"
        before = stats(url)
        ran = command.run(*options(url, out, n))
        assert ran.code == 0, ran.err
        after = stats(url)
    made, dropped = rows_of(out), rows_of(tmp_path / "out.dropped.jsonl")
    assert len(made) + len(dropped) == n
    assert all(row["reject_reason"] for row in dropped)
    assert "replies reused" in ran.sentence
    # what was on its way when the process died may be asked once more: no more than were under way
    assert after.get("repeated", 0) <= 16
    assert after["answered"] - before["answered"] < n


def test_the_same_command_again_asks_nothing(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with mock_teacher() as url:
        assert command.run(*options(url, out, 60)).code == 0
        first = [sample.id for sample in read_parquet(out)]
        again = command.run(*options(url, out, 60))
        assert stats(url).get("repeated", 0) == 0
    assert "0 calls, 60 replies reused" in again.sentence
    assert [sample.id for sample in read_parquet(out)] == first


def test_documents_become_questions_about_their_passages(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rules.md").write_text("# Loans\nA book is lent for 28 days.\n## Fees\nA day late costs 20 cents.\n")
    out = tmp_path / "asked.jsonl"
    with mock_teacher() as url:
        arguments = [*options(url, out, 4, "grounded_qa"), "--documents", str(tmp_path / "rules.md")]
        ran = command.run(*arguments)
    assert ran.code == 0, ran.err
    refused = rows_of(tmp_path / "asked.dropped.jsonl")
    # the mock makes words up, and no quote of its stands in a passage: each row says so
    assert {row["reject_reason"] for row in refused} == {"quote_not_in_passage"}
    assert len(refused) == 4


def test_samples_of_a_file_are_varied(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(
        json.dumps({"prompt": "When does the library open on Sundays?", "completion": "It is closed."}) + "\n"
    )
    out = tmp_path / "varied.jsonl"
    with mock_teacher() as url:
        ran = command.run(*options(url, out, 9), "--augment", str(tmp_path / "mine.jsonl"))
    assert ran.code == 0, ran.err
    children = rows_of(out) + rows_of(tmp_path / "varied.dropped.jsonl")
    operations = [row["controls"]["operation"] for row in children]  # type: ignore[index]
    assert sorted(operations) == ["back_translation"] * 2 + ["paraphrase"] * 3 + ["stance", "style"]
    (parent,) = read_samples(tmp_path / "mine.jsonl", task="qa")
    assert {row["parent_id"] for row in children} == {parent.id}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "qa", "--out", "x.docx"], "the name must end in"),
        (["--out", "x.jsonl"], "give either a LOOP or --task"),
        (["--task", "poem", "--out", "x.jsonl"], "poem"),
        (["--task", "classify", "--out", "x.jsonl"], "needs --labels"),
        (["--task", "grounded_qa", "--out", "x.jsonl"], "`task.grounded_qa.documents` is missing"),
        (["--task", "grounded_qa", "--documents", "nowhere", "--out", "x.jsonl"], "nowhere"),
        (["--task", "qa", "--language", "tlh", "--out", "x.jsonl"], "there is no template `tlh/qa/continue.md`"),
        (["--task", "qa", "--style", "terse", "--out", "x.jsonl"], "`generate.controls.style` is told to the"),
        (["home_broadband", "--style", "terse", "--out", "x.jsonl"], "--style goes with --task"),
        (["home_broadband", "--teacher", "http://127.0.0.1:9/v1", "--out", "x.jsonl"], "--teacher goes with --task"),
        (
            ["--task", "qa", "--augment", "a.jsonl", "--style", "x", "--out", "x.jsonl"],
            "--augment varies what there is",
        ),
        (["--task", "qa", "--teacher", "http://127.0.0.1:9/v1", "--out", "x.jsonl"], "--teacher needs --model"),
        (
            ["--task", "qa", "--teacher", "ftp://x/v1", "--model", "m", "--out", "x.jsonl"],
            "`teacher.openai.base_url`",
        ),
    ],
)
def test_what_does_not_fit_ends_at_the_door(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = command.run("generate", *arguments)
    assert ran.code == 2, ran.err
    assert says in ran.sentence
    assert "Traceback" not in ran.err


def test_a_teacher_that_is_not_there_is_named_before_any_work(command: Command, tmp_path: Path) -> None:
    ran = command.run(*options("http://127.0.0.1:9/v1", tmp_path / "x.jsonl", 5))
    assert ran.code == 3
    assert "the teacher `mock` at http://127.0.0.1:9/v1: cannot be reached" in ran.sentence
