"""Flows tell of verdicts and rollbacks, and what goes wrong with it ends none of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wheelwork.core.registry.moves import Moved
from wheelwork.core.rounds import Report
from wheelwork.core.serving.hooks.outbox import Outbox
from wheelwork.core.serving.hooks.settings import HookSettings, Receiver, hooks_in, receivers_in

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


def test_settings_are_found_where_a_loop_has_them_and_are_none_else() -> None:
    assert receivers_in(settings(RECEIVER)) == (RECEIVER,) and hooks_in(settings()).events == {}
    assert receivers_in(SimpleNamespace()) == () and hooks_in(SimpleNamespace()) == HookSettings()


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
