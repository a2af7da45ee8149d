"""`wheelwork up`: both pages, the deployments with their form, a round started as from the page, and a clean end."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from wheelwork.tests.e2e.command import Command, free_port, tiny_loop, until

STARTING = 120.0
ROUND = 180.0
BUSY = 30.0


class Up:
    """The services of one `wheelwork up`."""

    def __init__(self, command: Command, loop: Path) -> None:
        self.command = command
        options = [word for name in ("prefect", "mlflow", "gateway") for word in (f"--{name}-port", str(free_port()))]
        self.process = command.start("up", str(loop), *options)
        running = command.home / "up.json"
        until(running.exists, self.process, "the services", STARTING)
        addresses = json.loads(running.read_text(encoding="utf-8"))
        self.prefect, self.mlflow = f"{addresses['prefect']}/api", addresses["mlflow"]
        self.gateway = addresses["gateway"]
        self.http = httpx.Client(trust_env=False, timeout=20)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        address, deadline = f"{self.prefect}{path}", time.monotonic() + BUSY
        while True:
            response = self.http.get(address) if body is None else self.http.post(address, json=body)
            # while its SQLite is written to, Prefect says 503, and its own client comes again too
            if response.status_code != 503 or time.monotonic() > deadline:
                return response.raise_for_status().json()
            time.sleep(1)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, databases: Path) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    command = Command(folder / "state", databases=databases)
    try:
        yield Up(command, tiny_loop(folder / "tiny", generate={"samples": 12, "shots": 2, "max_tokens": 8}))
    finally:
        command.end_all()


def test_both_pages_and_the_gateway_answer_on_the_loopback(up: Up) -> None:
    assert up.http.get(up.prefect.replace("/api", "/")).status_code == 200
    assert up.http.get(up.mlflow).status_code == 200
    assert up.http.get(f"{up.gateway}/v1/models").json()["data"][0]["id"] == "tiny"
    listening = [
        connection.laddr.ip
        for process in up.command.running()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening and set(listening) == {"127.0.0.1"}


def test_the_deployments_have_a_form_and_a_schedule(up: Up) -> None:
    found = {entry["name"]: entry for entry in up.ask("/deployments/filter", {})}
    assert set(found) == {"on-demand", "nightly", "on-drift", "collect", "micro", "benchmark", "rollback"}
    assert set(found["rollback"]["parameter_openapi_schema"]["properties"]) == {"loop", "to", "reason"}
    fields = found["on-demand"]["parameter_openapi_schema"]["properties"]
    assert set(fields) == {"loop", "samples", "seed", "from_step"}
    assert all(field["description"] for field in fields.values())
    assert [schedule["schedule"]["cron"] for schedule in found["nightly"]["schedules"]] == ["0 3 * * *"]


def test_an_event_starts_the_deployment_that_waits_for_it(up: Up) -> None:
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "wheelwork.candidate.registered",
        "resource": {"prefect.resource.id": "wheelwork.loop.tiny"},
        "payload": {"loop": "/loops/tiny", "version": "999"},
    }
    up.http.post(f"{up.prefect}/events", json=[event]).raise_for_status()
    deadline = time.monotonic() + STARTING
    while not (found := up.ask("/flow_runs/filter", {"flows": {"name": {"any_": ["benchmark"]}}})):
        assert time.monotonic() < deadline, f"no run began within {STARTING:.0f} s of the event"
        time.sleep(1)
    assert [run["parameters"] for run in found] == [{"loop": "/loops/tiny", "version": "999"}]


def test_a_round_that_the_page_starts_ends_with_a_verdict(up: Up) -> None:
    entry = next(entry for entry in up.ask("/deployments/filter", {}) if entry["name"] == "on-demand")
    run = up.ask(f"/deployments/{entry['id']}/create_flow_run", {"parameters": entry["parameters"] | {"seed": 3}})
    deadline = time.monotonic() + ROUND
    while (state := up.ask(f"/flow_runs/{run['id']}")["state"])["type"] not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < deadline, f"the round is {state['name']} after {ROUND:.0f} s"
        time.sleep(1)
    assert state["type"] == "COMPLETED", state["message"]
    keys = {artifact["key"] for artifact in up.ask("/artifacts/filter", {})}
    assert {"tiny-verdict", "tiny-suites", "tiny-funnel", "tiny-mlflow"} <= keys


def test_a_second_one_is_refused_and_the_first_goes_on(up: Up) -> None:
    port = up.prefect.split(":")[2].split("/")[0]
    refused = up.command.run("up", "home_broadband", "--prefect-port", port)
    assert refused.code == 2
    assert f"port {port} for Prefect is taken" in refused.sentence
    assert up.process.poll() is None


def test_ctrl_c_ends_everything(up: Up) -> None:
    up.process.send_signal(signal.SIGINT)
    assert up.command.finish(up.process, 60).code == 130
    assert up.command.running() == []
    assert not (up.command.home / "up.json").exists()
