"""The environment of what is started: what the user set stays, nothing calls home, a bad folder is told."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from wheelwork.blocks.environment import QUIET, RUNNING, prepare, running_services
from wheelwork.core.errors import WorkspaceError

OURS = (*QUIET, "PREFECT_HOME", "PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_LOCAL_STORAGE_PATH",
        "MLFLOW_TRACKING_URI")  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without anything of ours, put back afterwards."""
    before = dict(os.environ)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A Prefect server as far as its health goes."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_all_state_lies_in_the_home(tmp_path: Path) -> None:
    prepare(tmp_path / "deep" / "home")
    for name in ("PREFECT_HOME", "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_LOCAL_STORAGE_PATH"):
        assert str(tmp_path / "deep" / "home") in os.environ[name]
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/deep/home/mlflow.db"
    assert list((tmp_path / "deep" / "home").iterdir()) == []  # the probe is gone


def test_nothing_calls_home(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = "https://mlflow.example"
    os.environ["PREFECT_API_URL"] = "https://prefect.example/api"
    with answering(200) as address:
        (tmp_path / RUNNING).write_text(json.dumps({"prefect": address}))
        prepare(tmp_path)
    assert os.environ["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert os.environ["PREFECT_API_URL"] == "https://prefect.example/api"


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    with pytest.raises(WorkspaceError, match="a file is in the way"):
        prepare(tmp_path / "home")
    with pytest.raises(WorkspaceError, match="a file is in the way"):
        prepare(tmp_path / "home" / "below")


def test_a_folder_that_cannot_be_made_is_told() -> None:
    with pytest.raises(WorkspaceError, match="/proc/wheelwork"):
        prepare(Path("/proc/wheelwork"))


def test_services_that_run_are_used(tmp_path: Path) -> None:
    with answering(200) as address:
        (tmp_path / RUNNING).write_text(json.dumps({"prefect": address, "mlflow": "http://m"}))
        assert running_services(tmp_path) == {"prefect": address, "mlflow": "http://m"}
        prepare(tmp_path)
    assert os.environ["PREFECT_API_URL"] == f"{address}/api"


def test_services_that_were_killed_are_not_used(tmp_path: Path) -> None:
    with answering(200) as address:
        pass
    (tmp_path / RUNNING).write_text(json.dumps({"prefect": address}))
    assert running_services(tmp_path) == {}
    prepare(tmp_path)
    assert "PREFECT_API_URL" not in os.environ


@pytest.mark.parametrize(
    "left", [None, "", "{", "{}", "[]", '"text"', '{"prefect": 4200}', '{"prefect": "nonsense"}', b"\xff"]
)
def test_what_is_no_address_is_no_service(tmp_path: Path, left: str | bytes | None) -> None:
    if left is not None:
        (tmp_path / RUNNING).write_bytes(left.encode() if isinstance(left, str) else left)
    assert running_services(tmp_path) == {}


def test_another_server_on_that_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    with answering(500) as address:
        (tmp_path / RUNNING).write_text(json.dumps({"prefect": address}))
        assert running_services(tmp_path) == {}
