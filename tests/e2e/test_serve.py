"""`wheelwork serve` as users run it: a promoted adapter answers, what users say is kept, a rollback reaches them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from wheelwork.tests.e2e.command import LABELS, Command, Ran, free_port, rows, tiny_loop, until

MICRO = """
import sys
from wheelwork.blocks.environment import prepare
from wheelwork.core.workspace import home
prepare(home())
from wheelwork.flows.micro import micro
print(micro(sys.argv[1], fewest=3).model_dump_json())
"""
QUESTION = [{"role": "user", "content": "the line is down again"}]


@dataclass
class Serving:
    """A gateway of its own process, over the champion that a round made."""

    command: Command
    loop: Path
    promoted: Ran
    port: int

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=60)
        self.start()

    def start(self) -> None:
        self.process = self.command.start("serve", str(self.loop), "--port", str(self.port))
        until(self.is_ready, self.process, "the gateway is ready")

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def ask(self, model: str = "tiny", **body: Any) -> dict[str, Any]:
        answer = self.post("/v1/chat/completions", model=model, messages=QUESTION, max_tokens=8, **body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def is_answered_by(self, version: str) -> bool:
        return str(self.ask()["model"]) == f"tiny@{version}"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, migrated: Path, server: str) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("serve")
    command = Command(folder / "home", folder / "models", migrated.parent, server)
    loop = tiny_loop(folder / "loop", serve={"canary": "off", "hosting": {"linger": 0.1}})
    try:
        yield Serving(command, loop, command.run("improve", str(loop)), free_port())
    finally:
        command.end_all()


def test_the_promoted_version_answers_as_it_was_measured(serving: Serving) -> None:
    assert serving.promoted.code == 0 and "PROMOTED" in serving.promoted.out + serving.promoted.err
    told = serving.ask()
    assert told["model"] == "tiny@v1" and told["choices"][0]["message"]["content"] in LABELS
    assert serving.ask("tiny@base")["choices"][0]["message"]["content"] not in LABELS
    assert [one["id"] for one in serving.get("/v1/models").json()["data"]] == ["tiny", "tiny@v1", "tiny@base"]


def test_what_users_say_is_kept_and_survives_a_kill(serving: Serving) -> None:
    told = serving.ask(user="ann")
    said = serving.post("/v1/feedback", id=told["id"], correction="bill", thumb="down")
    assert said.status_code in (200, 201, 202), said.text
    time.sleep(0.5)  # longer than what a kill may lose
    serving.process.kill()
    serving.process.wait()
    began = time.monotonic()
    serving.start()
    assert time.monotonic() - began < 60
    until(lambda: "wheelwork_correction_ratio{" in serving.get("/metrics").text, serving.process, "what was said")
    assert 'wheelwork_answers_rated{loop="tiny",version="1"} 1.0' in serving.get("/metrics").text
    stats = serving.command.run("traffic", "stats", str(serving.loop), "--json")
    assert [row["corrections"] for row in json.loads(stats.out) if row["version"] == "1"] == [1]


def test_a_rollback_reaches_users_without_a_restart(serving: Serving) -> None:
    assert serving.is_answered_by("v1")
    assert serving.command.run("rollback", str(serving.loop), "--to", "base").code == 0
    until(lambda: serving.is_answered_by("base"), serving.process, "the base answers", 30)
    assert serving.command.run("rollback", str(serving.loop), "--to", "1").code == 0
    until(lambda: serving.is_answered_by("v1"), serving.process, "version 1 answers again", 30)


def test_corrections_become_a_micro_round_while_the_gateway_answers(serving: Serving) -> None:
    for row in rows(2, start=300):
        told = serving.post("/v1/chat/completions", model="tiny", messages=[{"role": "user", "content": row["text"]}])
        serving.post("/v1/feedback", id=told.json()["id"], correction=row["label"]).raise_for_status()
    time.sleep(0.5)
    collected = serving.command.run("collect", str(serving.loop))
    assert collected.code == 0 and "corrections taken" in collected.out, collected.out + collected.err
    micro = subprocess.Popen(
        [sys.executable, "-c", MICRO, str(serving.loop)],
        env=serving.command.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    answers = 0
    while micro.poll() is None:
        assert serving.ask()["choices"]
        answers += 1
        time.sleep(0.2)
    out, err = micro.communicate()
    assert micro.returncode == 0 and answers > 5, err
    told = json.loads(out.strip().splitlines()[-1])
    assert told["verdict"] in ("promoted", "rejected", "inconclusive")
    assert told["funnel"]["kept"] >= 4 and told["train"]["samples"] > told["funnel"]["kept"]


def test_a_taken_port_and_an_open_door_are_one_sentence(serving: Serving) -> None:
    taken = serving.command.run("serve", str(serving.loop), "--port", str(serving.port))
    assert taken.code == 2 and f"port {serving.port} is taken" in taken.sentence
    opened = serving.command.run("serve", str(serving.loop), "--host", "0.0.0.0", "--port", "1")
    assert opened.code == 2 and "wheelwork keys add" in opened.sentence
