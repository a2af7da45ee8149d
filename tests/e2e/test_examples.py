"""The examples of `wheelwork generate`: their seeds are right, and the commands of their README do what it says."""

import json
import re
import shlex
from itertools import cycle
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from wheelwork.cli import app
from wheelwork.core.generation.fill import Rows, fill_orders
from wheelwork.core.generation.standalone import Asked
from wheelwork.tests.endpoint import endpoint
from wheelwork.tests.fakes import ScriptedChat

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "generate"
TASKS = ("qa", "summarize", "rewrite", "code")
BLOCK = re.compile(r"^```\nwheelwork (.*?)\n```$", re.MULTILINE | re.DOTALL)

every_task = pytest.mark.parametrize("task", TASKS)


def commands(task: str) -> list[list[str]]:
    """The arguments of the README's commands for a task: one for an endpoint, one for the embedded model."""
    found = [shlex.split(block.replace("\\\n", "")) for block in BLOCK.findall((FOLDER / "README.md").read_text())]
    return [arguments for arguments in found if arguments[arguments.index("--task") + 1] == task]


def seeds(task: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_example_has_its_two_commands() -> None:
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(TASKS)
    for task in TASKS:
        endpoint, embedded = commands(task)
        assert "--teacher" in endpoint and "--teacher" not in embedded
        assert 8 <= len(seeds(task)) <= 12


@every_task
def test_a_teacher_that_says_the_seeds_again_has_every_row_accepted(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    said, out = seeds(task), tmp_path / "made.jsonl"
    texts = cycle(map(json.dumps, said))
    with endpoint(lambda body: next(texts)) as url:
        instead = ["--teacher", url, "--n", str(len(said)), "--out", str(out)]  # of an option, the last one counts
        ran = CliRunner().invoke(app, [*commands(task)[0], *instead])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    assert not out.with_name("made.dropped.jsonl").exists()
    made = [json.loads(line)["messages"] for line in out.read_text(encoding="utf-8").splitlines()]
    answered = sorted((turns[-2]["content"], turns[-1]["content"]) for turns in made)
    assert answered == sorted(tuple(seed.values())[:2] for seed in said)


@every_task
def test_the_embedded_teacher_s_list_goes_on_as_it_began(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command = typer.main.get_command(app).commands["generate"]  # type: ignore[attr-defined]
    options = command.make_context("generate", commands(task)[1][1:]).params
    about = {"kind": task, "setting": options["about"]}
    if options["instruction"]:
        about["instruction"] = options["instruction"]
    count = {"samples": options["n"], "max_tokens": options["max_tokens"]}
    material = Asked.from_options(about, count, {"kind": "embedded"}, options["seeds"]).material(options["seeds"], "en")
    orders = list(material.orders({"any": options["n"]}, choices=1, seed=0))
    shown = [material.writing.request(order).messages[-1].content for order in orders]
    # the first example of the list, without the label that stands before the open end
    chat = ScriptedChat([text.split("\n---\n")[0].split(":", 1)[1] for text in shown])
    rows = list(Rows(fill_orders(orders, material.writing, chat, origin="teacher", source="test"), chat))
    assert [row.reject_reason for row in rows] == [None] * options["n"]
    assert {row.completion.strip() for row in rows} <= {list(seed.values())[1].strip() for seed in seeds(task)}
