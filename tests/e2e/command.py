"""The `wheelwork` command in a process of its own, as users run it, and a loop that it can turn in seconds."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from wheelwork.tests.tiny import TEXTS, tiny_bert, tiny_llama_gguf

LABELS = {"line": "the line is down", "wifi": "the wireless network drops", "bill": "a bill that is too high"}
WORDS = ["line", "down", "modem", "red", "wireless", "drops", "kitchen", "bill", "high", "euros", "since", "again"]
SAID = {
    "line": ["line", "down", "modem", "red"],
    "wifi": ["wireless", "drops", "kitchen", "phone"],
    "bill": ["bill", "high", "euros", "charge"],
}
SLOWEST = 150.0  # seconds that one command may take on a busy machine


@dataclass(frozen=True)
class Ran:
    """What a command that ended left to look at."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def sentence(self) -> str:
        """What was said on the error stream, without the wrapping of a terminal."""
        return " ".join(self.err.split())


class Command:
    """`python -m wheelwork` with a state folder of its own; no network is needed, and none is used.

    `databases` are put there first: with them a first round does not have to make them, which takes a long time.
    `server` is the address of a Prefect that runs already; without one each round starts its own, and ends it.
    """

    def __init__(
        self, home: Path, models: Path | None = None, databases: Path | None = None, server: str | None = None
    ) -> None:
        self.home = home
        if databases is not None:
            shutil.copytree(databases, home, dirs_exist_ok=True)
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WHEELWORK", "PREFECT", "MLFLOW", "PYTEST"))
        } | {
            "WHEELWORK_HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "200",
        }
        if models is not None:
            self.environment["WHEELWORK_MODELS"] = str(models)
        if server is not None:
            self.environment["PREFECT_API_URL"] = server

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command under way, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "wheelwork", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, patience: float = SLOWEST) -> Ran:
        """The command from start to end."""
        return self.finish(self.start(*arguments), patience)

    def finish(self, process: "subprocess.Popen[str]", patience: float = SLOWEST) -> Ran:
        """Wait for a command that was started; it is killed when it takes longer than `patience` seconds."""
        started = time.monotonic()
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self.end_all()
            raise
        return Ran(process.returncode, out, err, time.monotonic() - started)

    def running(self) -> list[psutil.Process]:
        """Every process on this machine that works for this state folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.environ().get("WHEELWORK_HOME") == str(self.home)
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def end_all(self) -> None:
        """Kill what a failed test left behind."""
        for process in self.running():
            process.kill()


def until(true: Callable[[], bool], process: "subprocess.Popen[str]", what: str, patience: float = SLOWEST) -> None:
    """Look every few milliseconds whether it is time; fails when the command ends before."""
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        if true():
            return
        assert process.poll() is None, f"the command ended before {what}: {process.stderr and process.stderr.read()}"
        assert time.monotonic() < deadline, f"{what}: not in {patience:.0f} s"
        time.sleep(max(0.005, 4 * (time.monotonic() - began)))  # a look that is dear takes no time from the command


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Labelled messages, `count` for each label, no two alike; `start` gives others."""
    return [
        {"text": f"{words[n % 4]} {words[(n + 1 + n // 4) % 4]} case {n} {word} again", "label": label}
        for label, words in SAID.items()
        for n, word in ((n, WORDS[(n * 5) % len(WORDS)]) for n in range(start, start + count))
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tiny_loop(folder: Path, models: bool = True, **settings: Any) -> Path:
    """A loop of three labels on random models; `settings` replace keys of its loop.yaml. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "seeds.jsonl", rows(4))
    write_rows(folder / "holdout.jsonl", rows(16, start=100))
    write_rows(folder / "general.jsonl", [{"prompt": f"say {n}", "answers": [str(n)]} for n in range(24)])
    write_rows(folder / "rehearsal.jsonl", [{"prompt": f"count to {n}"} for n in range(6)])
    if models:
        tiny_llama_gguf(folder / "tiny.gguf", texts=[*TEXTS, *(row["text"] for row in rows(8))])
        tiny_bert(folder / "encoder", WORDS)
    write_config(folder, **settings)
    return folder


def write_config(folder: Path, **settings: Any) -> None:
    """The loop.yaml of `tiny_loop`, with `settings` in place of its keys."""
    loop = {
        "name": "tiny",
        "task": {"kind": "classify", "labels": LABELS},
        "model": "tiny.gguf",
        "encoder": "encoder",
        "engine": {"kind": "llamacpp", "context": 1024, "threads": 1},
        "seeds": "seeds.jsonl",
        "rehearsal": "rehearsal.jsonl",
        "suites": {
            "holdout": {"role": "target", "path": "holdout.jsonl"},
            "general": {
                "role": "guard",
                "path": "general.jsonl",
                "scorer": {"kind": "matches"},
                "prompt": "plain",
                "margin": 0.3,
            },
        },
        "generate": {"samples": 90, "shots": 2, "max_tokens": 24},
        # random models write nonsense, and embed it at random: only what is empty or repeated goes
        "funnel": {
            "filters": [
                {"kind": "rules", "min_words": 2, "allow_cut": True, "max_repetition": 1.0},
                {"kind": "exact_duplicates"},
                {"kind": "near_duplicates"},
                {"kind": "novelty", "max_cosine": 1.0},
                {"kind": "label_agreement", "margin": -2},
            ]
        },
        # enough for the random model to answer with a label at all, which is promoted over one that never does
        "train": {"rank": 16, "epochs": 10, "batch_size": 8, "learning_rate": 0.01},
        "gate": {"resamples": 500},
    }
    (folder / "loop.yaml").write_text(yaml.safe_dump(loop | settings, sort_keys=False), encoding="utf-8")


def line_of(text: str, path: Path) -> int | None:
    """The line number that a sentence gives for a file."""
    found = re.search(re.escape(str(path)) + r":(\d+)", text)
    return int(found[1]) if found else None
