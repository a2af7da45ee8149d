"""`wheelwork keys` and what `wheelwork serve` refuses at the door."""

import socket
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner
from wheelwork.cli import app
from wheelwork.core.errors import ConfigError
from wheelwork.core.serving.gateway.audit import acts
from wheelwork.core.serving.gateway.keys import StoredKeys

runner = CliRunner()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path))
    return tmp_path


def keys(*arguments: str) -> str:
    done = runner.invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_key_is_made_replaced_and_ended_and_each_act_is_written_down(state: Path) -> None:
    first = keys("add", "web").strip()
    assert keys("add", "ops", "--scope", "admin", "--rate", "5").startswith("wk-")
    second = keys("rotate", "web", "--grace", "1").strip()
    stored = StoredKeys(state / "keys.json", time.time)
    assert stored.caller(first).scopes == stored.caller(second).scopes == ("chat", "feedback")
    told = keys("list")
    assert first not in told and first[:9] in told and "works until" in told and "5/s" in told
    keys("revoke", "web")
    assert "ended" in keys("list")
    assert [(act.what, act.subject) for act in acts(state)] == [
        ("key added", "web"), ("key added", "ops"), ("key rotated", "web"), ("key revoked", "web"),
    ]  # fmt: skip
    assert first not in (state / "audit.jsonl").read_text() + (state / "keys.json").read_text()


def test_an_unknown_key_is_told_with_the_nearest_name() -> None:
    keys("add", "website")
    with pytest.raises(ConfigError, match="did you mean `website`"):
        runner.invoke(app, ["keys", "revoke", "webside"], catch_exceptions=False)


def test_nobody_serves_others_without_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ConfigError, match="wheelwork keys add"):
            runner.invoke(app, ["serve", "home_broadband", "--host", host], catch_exceptions=False)


def test_a_key_that_ended_is_none(state: Path) -> None:
    keys("add", "web")
    keys("revoke", "web")
    with pytest.raises(ConfigError, match="wheelwork keys add"):
        runner.invoke(app, ["serve", "home_broadband", "--host", "0.0.0.0"], catch_exceptions=False)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken.*--port"):
            runner.invoke(app, ["serve", "home_broadband", "--port", str(port)], catch_exceptions=False)
