"""The folder of a small loop, and what loading it complains of."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from wheelwork.core.errors import UserError
from wheelwork.core.loops import load_loop

Rows = list[dict[str, Any]]
SEEDS: Rows = [
    {"text": "no light on the modem", "label": "offline"},
    {"text": "the bill is wrong", "label": "billing"},
    {"text": "modem is dead", "label": "offline"},
]
HELD_OUT: Rows = [{"text": "box shows red", "label": "offline"}, {"text": "charged twice", "label": "billing"}]
GENERAL: Rows = [{"prompt": "What is 2 + 2?", "answers": ["4", "four"]}]
LABELS = {"offline": "no connection", "billing": "money"}
TARGET = {"role": "target", "path": "holdout.jsonl"}
GUARD = {"role": "guard", "path": "general.jsonl", "scorer": {"kind": "matches"}, "prompt": "plain", "margin": 0.1}


def jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def a_loop(
    folder: Path,
    *,
    seeds: Rows = SEEDS,
    held_out: Rows = HELD_OUT,
    labels: Any = LABELS,
    suites: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    folder.mkdir(exist_ok=True)
    suites = {"holdout": TARGET, "general": GUARD} if suites is None else suites
    config = {"name": "small", "task": {"kind": "classify", "labels": "labels.yaml"}, "suites": suites} | settings
    (folder / "loop.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "labels.yaml").write_text(yaml.safe_dump(labels, sort_keys=False), encoding="utf-8")
    jsonl(folder / "seeds.jsonl", seeds)
    jsonl(folder / "holdout.jsonl", held_out)
    jsonl(folder / "general.jsonl", GENERAL)
    return folder


def complaint(folder: Path, kind: type[UserError]) -> str:
    """What loading says, with the folder cut out."""
    with pytest.raises(kind) as caught:
        load_loop(folder)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "")
