"""One short round on the embedded model: three labels of the scenario, nine samples, one epoch."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
import yaml
from wheelwork.tests.e2e.command import Command, write_rows

KEPT = 3  # labels of the scenario
SEEDS, HELD_OUT = 5, 6  # rows for each
SAMPLES, RETAINED = 9, 14


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """The scenario home_broadband, cut down to what takes a minute or two on quiet cores."""
    scenario = Path(str(resources.files("wheelwork.scenarios"))) / "home_broadband"
    folder = Path(shutil.copytree(scenario, tmp_path / "loop", ignore=shutil.ignore_patterns("*.md", "*.py")))
    labels = dict(list(yaml.safe_load((folder / "labels.yaml").read_text(encoding="utf-8")).items())[:KEPT])
    (folder / "labels.yaml").write_text(yaml.safe_dump(labels, sort_keys=False), encoding="utf-8")
    for name, most in (("seeds.jsonl", SEEDS), ("holdout.jsonl", HELD_OUT)):
        rows = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        write_rows(folder / name, [row for label in labels for row in [r for r in rows if r["label"] == label][:most]])
    for name, most in (("retention.jsonl", RETAINED), ("rehearsal.jsonl", 4)):
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:most]), encoding="utf-8")
    settings = yaml.safe_load((folder / "loop.yaml").read_text(encoding="utf-8"))
    # on one thread: two that wait for each other stand still while another test computes
    settings |= {
        "engine": {"kind": "llamacpp", "threads": 1},
        "generate": {"samples": SAMPLES},
        "train": {"epochs": 1, "batch_size": 4},
    }
    (folder / "loop.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return folder


@pytest.mark.model
def test_a_short_round_on_the_embedded_model_ends_in_an_honest_verdict(loop: Path, tmp_path: Path) -> None:
    command = Command(tmp_path / "home")
    ran = command.run("improve", str(loop), "--seed", "0", "--report", str(tmp_path / "report.json"), patience=600)
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    holdout, retention = report["suites"]["holdout"], report["suites"]["retention"]
    assert (holdout["n"], retention["n"]) == (KEPT * HELD_OUT, RETAINED)
    assert report["funnel"]["generated"] == SAMPLES and 0 < report["funnel"]["kept"] <= SAMPLES
    assert report["train"]["samples"] >= KEPT * SEEDS + report["funnel"]["kept"]
    assert retention["base"] > 0.2  # the base can do something, or the guard would guard nothing
    significant = holdout["delta"] > 0 and holdout["p_value"] <= report["gate"]["alpha"]
    assert (report["verdict"] == "promoted") == (significant and retention["outcome"] == "pass")
    assert report["reasons"]
    assert command.running() == []
