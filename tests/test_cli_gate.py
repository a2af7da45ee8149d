"""`wheelwork gate`: exit codes, figures, and one sentence for what cannot be judged."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner
from wheelwork.cli import app
from wheelwork.core.errors import ConfigError, DataError
from wheelwork.core.evaluation.gate import Decision, GateSettings


def write(path: Path, scores: list[Any], **more: Any) -> str:
    rows = [{"id": f"i{at}", "score": score, **more} for at, score in enumerate(scores)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def answers(both: int, losses: int, wins: int, neither: int) -> tuple[list[int], list[int]]:
    old = [1] * (both + losses) + [0] * (wins + neither)
    return old, [1] * both + [0] * losses + [1] * wins + [0] * neither


class Files:
    """Champion and candidate of a target that got better, of one that did not, and of a guard."""

    def __init__(self, folder: Path) -> None:
        for name, counts in {"gain": (60, 5, 30, 105), "same": (60, 0, 0, 140), "loss": (60, 20, 0, 120)}.items():
            old, new = answers(*counts)
            setattr(self, name, [write(folder / f"{name}-{side}.jsonl", side_scores) for side, side_scores in
                                 (("old", old), ("new", new))])  # fmt: skip
        self.folder = folder

    gain: list[str]
    same: list[str]
    loss: list[str]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def run(pair: list[str], *more: str) -> Result:
    return CliRunner().invoke(app, ["gate", "--champion", pair[0], "--candidate", pair[1], *more])


def refused(result: Result) -> str:
    assert isinstance(result.exception, ConfigError | DataError), result.output
    assert result.exception.exit_code == 2
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_the_exit_code_is_the_verdict(files: Files) -> None:
    assert run(files.gain).exit_code == 0
    assert run(files.same).exit_code == 10
    assert run(files.gain, "--min-items", "500").exit_code == 11
    assert run(files.gain, "--look", "100000").exit_code == 11


def test_the_verdict_is_told_with_its_figures(files: Files) -> None:
    told = run(files.gain).output
    assert "PROMOTED" in told
    assert "target: 0.45 against 0.33 (champion) on 200 items, +0.12" in told
    assert "Look 1 at these items, which may spend α = 0.025." in told


def test_guards_have_margins_of_their_own_or_the_common_one(files: Files) -> None:
    kept, lost = (f"{name}={','.join(pair)}" for name, pair in (("kept", files.same), ("lost", files.loss)))
    assert run(files.gain, "--guard", f"{kept}:0.05").exit_code == 0
    assert run(files.gain, "--guard", kept, "--margin", "0.05").exit_code == 0
    assert run(files.gain, "--guard", f"{kept}:0.05", "--guard", f"{lost}:0.05").exit_code == 10
    assert run(files.gain, "--guard", f"{kept}:0.001").exit_code == 11


def test_one_of_several_targets_may_be_enough(files: Files) -> None:
    other = f"faq={','.join(files.same)}"
    assert run(files.gain, "--target", other).exit_code == 10
    assert run(files.gain, "--target", other, "--any", "--margin", "0.05").exit_code == 0
    assert run(files.gain, "--target", f"faq={','.join(files.gain)}").exit_code == 0


def test_a_floor_rejects_what_is_not_good_enough(files: Files) -> None:
    result = run(files.gain, "--floor", "0.5")
    assert result.exit_code == 10
    assert "which is below the floor: 0.45 < 0.5" in result.output


def test_slices_are_listed_and_may_reject(tmp_path: Path) -> None:
    old, new = answers(100, 20, 60, 20)
    rows = [{"id": str(at), "score": score, "slice": "lost" if 100 <= at < 125 else "rest"} for at, score in
            enumerate(new)]  # fmt: skip
    (tmp_path / "new.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "old.csv").write_text(
        "id,score\n" + "".join(f"{at},{score}\n" for at, score in enumerate(old)), encoding="utf-8"
    )
    pair = [str(tmp_path / "old.csv"), str(tmp_path / "new.json")]
    shown = run(pair)
    assert shown.exit_code == 0 and "lost" in shown.output
    assert run(pair, "--slice-limit", "0.1").exit_code == 10


def test_every_figure_can_be_had_as_json(files: Files) -> None:
    report = files.folder / "report.json"
    result = run(files.gain, "--json", "--report", str(report), "--seed", "4", "--base", files.gain[0])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told == json.loads(report.read_text(encoding="utf-8"))
    assert (told["verdict"], told["seed"], told["settings"]["alpha"], told["look"]) == ("promoted", 4, 0.05, 1)
    figures = told["figures"]["target"]
    assert (figures["n"], figures["wins"], figures["losses"], figures["base"]) == (200, 30, 5, 0.325)
    assert Decision.model_validate({name: told[name] for name in Decision.model_fields}).verdict == "promoted"
    assert run(files.gain, "--json", "--seed", "4", "--base", files.gain[0]).stdout == result.stdout


def test_settings_come_from_a_file_under_the_options(files: Files) -> None:
    loop = files.folder / "loop.yaml"
    loop.write_text("name: x\ngate:\n  alpha: 0.01\n  min_items: 300\n", encoding="utf-8")
    told = json.loads(run(files.gain, "--config", str(loop), "--json").stdout)
    assert (told["alpha"], told["verdict"]) == (0.005, "inconclusive")
    told = json.loads(run(files.gain, "--config", str(loop), "--json", "--min-items", "100").stdout)
    assert (told["alpha"], told["verdict"]) == (0.005, "promoted")


def test_grades_and_sources_are_judged_as_in_a_round(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    old = random.uniform(0, 1, 120)
    new = old + random.normal(0.1, 0.1, 120)
    pair = [write(tmp_path / "old.jsonl", old.tolist()), write(tmp_path / "new.jsonl", new.tolist())]
    assert run(pair).exit_code == 0
    one_page = [pair[0], write(tmp_path / "one.jsonl", new.tolist(), group="page")]
    result = run(one_page)
    assert result.exit_code == 11
    assert "items of 1 sources are too few to tell" in result.output


def test_what_cannot_be_judged_is_one_sentence(files: Files) -> None:
    old, new = files.gain
    kept = f"kept={','.join(files.same)}"
    for more, said in (
        (["--guard", "kept"], "--guard kept: expected NAME=CHAMPION,CANDIDATE"),
        (["--guard", f"kept={old}"], "expected NAME=CHAMPION,CANDIDATE"),
        (["--guard", kept], "guard `kept` has no margin"),
        (["--guard", f"{kept}:0"], "guard suite `kept` has the margin 0.0"),
        (["--guard", f"{kept}:nan"], "guard suite `kept` has the margin nan"),
        (["--guard", f"target={old},{new}:0.1"], "two suites are named `target`"),
        (["--margin", "0.1"], "--margin is for guards"),
        (["--any"], "--any needs --margin"),
        (["--alpha", "0.7"], "wheelwork gate: `alpha`: input should be less than 0.5"),
        (["--floor", "nan"], "the floor nan"),
        (["--slice-limit", "-1"], "`slice_limit`: input should be greater than 0"),
        (["--report", old], "this file is read here"),
        (["--config", str(files.folder / "no.yaml")], "there is no such file"),
        (["--guard", f"kept={old},{files.folder}/no.jsonl:0.1"], "no.jsonl: there is no such file"),
    ):
        assert said in refused(run(files.gain, *more)), more
    assert "no.jsonl: there is no such file" in refused(run([str(files.folder / "no.jsonl"), new]))
    assert "must end in .jsonl" in refused(run([str(files.folder / "no.xlsx"), new]))


ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"^```\nwheelwork (gate .*?)\n```$", re.MULTILINE | re.DOTALL)


def test_the_example_of_the_docs_says_what_the_docs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    (block,) = COMMAND.findall(docs)
    arguments = shlex.split(block.replace("\\\n", ""))
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "120")
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0
    for line in told.output.splitlines():
        assert line.rstrip() in docs, line
    strict = CliRunner().invoke(app, [*arguments, "--slice-limit", "0.1"])
    assert strict.exit_code == 10
    assert "slice `wifi`" in strict.output


def test_every_setting_and_option_is_in_the_docs() -> None:
    docs = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    assert [name for name in GateSettings.model_fields if f"| `{name}` |" not in docs] == []
    command = typer.main.get_command(app).commands["gate"]  # type: ignore[attr-defined]
    options = [name for parameter in command.params for name in parameter.opts if name != "--help"]
    assert [name for name in options if f"`{name}" not in docs and f" {name}" not in docs] == []
