"""The flow `rollback`: its form, and that the page gets what came of it."""

from pathlib import Path

import pytest
from wheelwork.blocks.registry import ModelRegistry, moves_of
from wheelwork.blocks.tracking import Tracking
from wheelwork.core.errors import RegistryError
from wheelwork.core.registry.journal import CHAMPION
from wheelwork.tests.core.registry.parts import judged
from wheelwork.tests.e2e.command import tiny_loop


def test_the_form_has_typed_parameters() -> None:
    from wheelwork.flows.rollback import rollback

    fields = rollback.parameters.properties
    assert set(fields) == {"loop", "to", "reason"} and rollback.parameters.required == ["loop"]
    assert all(field.get("description") for field in fields.values())


@pytest.mark.usefixtures("prefect")
def test_it_goes_back_and_says_which_run_did(mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wheelwork.flows.rollback import rollback

    monkeypatch.setenv("WHEELWORK_HOME", str(tmp_path / "home"))
    loop, registry = str(tiny_loop(tmp_path / "loop", models=False)), ModelRegistry("tiny")
    with pytest.raises(RegistryError, match="has no champion yet"):
        rollback(loop)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    run = Tracking("tiny", tmp_path / "home").open_run("0001-abc", {})
    moves = moves_of("tiny", tmp_path / "home")
    assert moves.judge(judged(registry.register(run, adapter, "adapter-1", {}), None)).status == "promoted"
    done, again = rollback(loop, reason="rude answers"), rollback(loop)
    assert (done.status, done.champion, again.status) == ("rolled_back", None, "already")
    assert CHAMPION not in registry.aliases()
    last = list(moves.journal.entries())[-1]
    assert last.move.reason == "rude answers" and last.who.run.endswith(")") and "rollback" in last.who.run
