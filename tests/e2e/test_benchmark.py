"""`wheelwork benchmark` as users run it, on a random model."""

import json
from pathlib import Path

import pytest
from wheelwork.core.models.store import ModelStore
from wheelwork.tests.e2e.command import Command, tiny_loop, write_config
from wheelwork.tests.tiny import tiny_adapter

QUIZ = {"role": "target", "path": "quiz.jsonl", "scorer": {"kind": "multiple_choice"}}
HOLDOUT = {"role": "target", "path": "holdout.jsonl"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    loop = tiny_loop(folder / "loop", suites={"holdout": HOLDOUT, "quiz": QUIZ})
    rows = [{"prompt": f"number {n}", "choices": ["line", "bill"], "answer": n % 2} for n in range(6)]
    (loop / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = ModelStore(folder / "models").get(str(loop / "tiny.gguf"))
    tiny_adapter(folder / "adapter", model.folder)
    return folder


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_adapter_is_measured_and_its_scores_are_written(place: Path) -> None:
    command = Command(place / "home", place / "models")
    asked = ("benchmark", str(place / "loop"), "--adapter", str(place / "adapter"), "--out", str(place / "s.jsonl"))
    ran = command.run(*asked)
    assert ran.code == 0, ran.err
    holdout, quiz = read(place / "s.holdout.jsonl"), read(place / "s.quiz.jsonl")
    assert len(holdout) == 48 and len(quiz) == 6
    assert {"id", "score", "slice", "label", "suite", "scorer", "reply"} <= set(holdout[0])
    assert {row["scorer"] for row in holdout} == {"exact_label 1"} and len({row["suite"] for row in holdout}) == 1
    assert all(row["score"] in (0.0, 1.0) and row["reply"] in ("line", "bill") for row in quiz)
    assert "measured by the training stack" in ran.out and "measured by the serving engine" in ran.out
    assert "label line" in ran.out and "calibration error" in ran.out
    assert "Traceback" not in ran.err
    again = command.run("benchmark", str(place / "loop"), "--suite", "holdout", "--out", str(place / "base.csv"))
    assert again.code == 0 and (place / "base.csv").read_text(encoding="utf-8").startswith("id,score,slice,")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--suite", "holdut"), "--suite holdut: the loop has no such suite; did you mean `holdout`?"),
        (("--adapter", "nowhere"), "--adapter nowhere: there is no such folder"),
        (("--adapter", "champion"), "has no champion yet"),
        (("--out", "scores.txt"), "scores.txt: the name must end in .jsonl"),
    ],
)
def test_mistakes_are_one_sentence(place: Path, options: tuple[str, str], said: str) -> None:
    ran = Command(place / "home", place / "models").run("benchmark", str(place / "loop"), *options)
    assert ran.code == 2 and said in ran.sentence, ran.err
    assert "Traceback" not in ran.err


def test_a_suite_that_its_scorer_cannot_use_is_named_with_its_line(place: Path) -> None:
    wrong = tiny_loop(place / "wrong", models=False)
    write_config(wrong, suites={"holdout": HOLDOUT, "quiz": QUIZ | {"path": "general.jsonl"}})
    ran = Command(place / "home", place / "models").run("benchmark", str(wrong))
    assert (
        ran.code == 2
        and "general.jsonl:1: suite item" in ran.sentence
        and "needs at least two `choices`" in ran.sentence
    )
