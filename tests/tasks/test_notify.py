"""Flows tell of verdicts and rollbacks, and what goes wrong with it ends none of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from wheelwork.core.loops import read_settings
from wheelwork.core.naming import find_loop
from wheelwork.core.registry.moves import Moved
from wheelwork.core.rounds import Report
from wheelwork.core.serving.hooks.outbox import Outbox
from wheelwork.core.serving.hooks.settings import HookSettings, Receiver

RECEIVER = Receiver(url="http://127.0.0.1:9/", secret_env="NEWS", allow_private=True, attempts=1)


def settings(*receivers: Receiver) -> Any:
    """A loop's settings, as far as telling needs them."""
    return SimpleNamespace(name="tiny", serve=SimpleNamespace(hooks=HookSettings(), notify=receivers))


def report() -> Report:
    told: dict[str, Any] = {name: {} for name in Report.model_fields}
    told |= {
        "loop": "tiny", "round": "0001-abc", "verdict": "promoted", "reasons": ("holdout: better",),
        "adapter": {"version": "3"}, "mlflow": {"run_id": "r", "url": "http://127.0.0.1:5000/#/r"},
    }  # fmt: skip
    return Report.model_construct(**told)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(os.environ, "NEWS", "whsec_" + "A" * 32)
    yield


def test_who_is_told_stands_in_the_loops_settings_and_is_nobody_else(tmp_path: Path) -> None:
    packaged = find_loop("home_broadband")
    without = read_settings(packaged).serve
    assert without.notify == () and without.hooks == HookSettings() and without.hooks.events == {}
    text = (packaged / "loop.yaml").read_text(encoding="utf-8")
    told = {"serve": {"notify": [RECEIVER.model_dump(mode="json")]}}
    (tmp_path / "loop.yaml").write_text(text + yaml.safe_dump(told), encoding="utf-8")
    assert read_settings(tmp_path).serve.notify == (RECEIVER,)


@pytest.mark.usefixtures("prefect", "secret")
def test_a_verdict_is_laid_down_once_and_a_receiver_that_is_away_fails_nothing(tmp_path: Path) -> None:
    from prefect import flow
    from wheelwork.tasks.notify import tell_verdict

    @flow
    def ends() -> str:
        tell_verdict(tmp_path, settings(RECEIVER), report())
        tell_verdict(tmp_path, settings(RECEIVER), report())
        return "well"

    assert ends() == "well"
    assert Outbox(tmp_path).counts() == {"given up": 1}


@pytest.mark.usefixtures("prefect", "secret")
def test_an_outbox_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    from prefect import flow
    from wheelwork.tasks.notify import tell_verdict

    (tmp_path / "notices.db").mkdir()

    @flow
    def ends() -> str:
        tell_verdict(tmp_path, settings(RECEIVER), report())
        return "well"

    assert ends() == "well"


def test_nobody_is_told_of_a_rollback_that_changed_nothing(tmp_path: Path) -> None:
    from wheelwork.tasks.notify import tell_rollback

    moved = Moved.model_construct(status="already", champion="1", note="it is champion already")
    tell_rollback(str(tmp_path / "nowhere"), moved, "")  # not even the loop is read
