"""The process is killed between taking a delivery and answering it: it is not lost, and not started twice."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wheelwork.tests.core.serving.hooks.parts import signed

GATEWAY = """
import asyncio, json, os, signal, sys
from pathlib import Path
from wheelwork.core.serving.hooks.incoming import Hooked, Hooks
from wheelwork.core.serving.hooks.secrets import Secrets
from wheelwork.core.serving.hooks.seen import Seen
from wheelwork.core.serving.hooks.settings import HookSettings

home, kill_at = Path(sys.argv[1]), sys.argv[2]
headers, body = json.loads(sys.argv[3]), sys.argv[4].encode()

def reached(point):
    if point == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

async def start(deployment, parameters, key):
    # a Prefect in files: what was asked for, and one run for each key
    with open(home / "asked", "a") as stream:
        stream.write(key + chr(10))
    reached("before the run")
    (home / "runs" / key).mkdir(parents=True, exist_ok=True)
    reached("after the run")
    return "run/" + key

class Remembering(Seen):
    def add(self, *arguments):
        reached("before it is kept")
        super().add(*arguments)
        reached("after it is kept")

rule = {"deployment": "improve/on-demand"}
hooks = Hooks(
    {"tiny": Hooked(HookSettings.model_validate({"events": {"go": rule}}), "/loops/tiny")},
    Secrets(home), Remembering(home), start,
)
print(json.dumps(asyncio.run(hooks.handle("tiny", headers, body))))
"""


def gateway(home: Path, kill_at: str, secret: str, body: str) -> subprocess.CompletedProcess[str]:
    headers = json.dumps(signed(secret, body.encode(), "msg_1"))
    command = [sys.executable, "-c", GATEWAY, str(home), kill_at, headers, body]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("point", ["before the run", "after the run", "before it is kept", "after it is kept"])
def test_a_kill_loses_no_delivery_and_starts_none_twice(tmp_path: Path, point: str) -> None:
    from wheelwork.core.serving.hooks.secrets import Secrets

    secret, body = Secrets(tmp_path).make("tiny", "standard"), json.dumps({"type": "go"})
    killed = gateway(tmp_path, point, secret, body)
    assert killed.returncode == -signal.SIGKILL and killed.stdout == ""  # the sender heard nothing, so it comes again
    again = gateway(tmp_path, "never", secret, body)
    status, _, told = json.loads(again.stdout)
    assert status == (200 if point == "after it is kept" else 202)
    runs = list((tmp_path / "runs").iterdir())
    assert [f"run/{run.name}" for run in runs] == [told["link"]]
    asked = (tmp_path / "asked").read_text().split()
    assert set(asked) == {runs[0].name}  # under one idempotency key, however often
