"""Prompts in MLflow's registry: one version a wording, linked to the rounds that used it."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from wheelwork.blocks.prompts import DIGEST, register_prompt
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.errors import DependencyError
from wheelwork.core.prompts import load_template, parse_template

CHANGED = "---\nname: write\nversion: 2\ntask: qa\nlanguage: en\npurpose: another wording\n---\n# user\nAsk.\n"


@pytest.fixture
def run(mlflow_uri: str, tmp_path: Path) -> str:
    return Tracking("tiny", tmp_path / "home").open_run("0000", {})


def test_the_same_wording_is_registered_once_and_another_is_the_next_version(run: str) -> None:
    template = load_template("qa", "write")
    assert [register_prompt("tiny", template, run) for _ in range(2)] == ["1", "1"]
    assert register_prompt("tiny", parse_template(CHANGED, "t.md"), run) == "2"
    assert register_prompt("tiny", template, run) == "1", "the digest finds an old one again"
    found = MlflowClient().get_prompt_version("tiny.qa.write", 1)
    assert found.tags[DIGEST] == template.digest
    assert [turn["role"] for turn in found.template] == ["system", "user"]


def test_the_run_knows_its_prompts(run: str) -> None:
    register_prompt("tiny", load_template("qa", "answer"), run)
    assert "tiny.qa.answer" in str(MlflowClient().get_run(run).data.tags)


def test_a_store_that_is_gone_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    with pytest.raises(DependencyError, match="MLflow did not do as asked"):
        register_prompt("tiny", load_template("qa", "answer"), "run")
