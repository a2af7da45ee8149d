"""`prefect.yaml` on a real server: deployments with forms, schedules and triggers; and runs that webhooks start."""

import asyncio
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from wheelwork.core.errors import ConfigError, DependencyError

ROOT = Path(__file__).parents[2]
DEFINED = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


def called(one: dict[str, Any]) -> str:
    return f"{one['entrypoint'].rpartition('.')[2]}/{one['name']}"


@pytest.mark.parametrize("one", DEFINED, ids=called)
def test_every_entry_has_a_flow_whose_form_reads_well(one: dict[str, Any]) -> None:
    module, _, name = one["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), name)
    fields = flow.parameters.properties
    assert flow.name == name and flow.description
    assert all(field.get("description") and field.get("title") for field in fields.values())
    assert set(one["parameters"]) <= set(fields) and one["description"].endswith(".")
    for trigger in one.get("triggers", ()):
        assert set(trigger["parameters"]) <= set(fields)


def test_triggers_wait_for_events_that_are_emitted() -> None:
    from typing import get_args

    from wheelwork.tasks.events import Happened

    waited = {event for one in DEFINED for trigger in one.get("triggers", ()) for event in trigger["expect"]}
    assert waited == {f"wheelwork.{happened}" for happened in get_args(Happened)}


def test_the_packaged_yaml_deploys_with_schedules_and_triggers(server: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from wheelwork.blocks.deploying import deploy

    names = deploy(tmp_path, "/loops/tiny", {**os.environ, "PREFECT_API_URL": server})
    assert names == [called(one) for one in DEFINED]
    with get_client(sync_client=True) as client:
        found = {name: client.read_deployment_by_name(name) for name in names}
        automations = client._client.post("/automations/filter", json={}).json()
    assert all(one.parameters["loop"] == "/loops/tiny" for one in found.values())
    assert [len(found[name].schedules) for name in ("improve/nightly", "collect/collect", "micro/micro")] == [1, 1, 0]
    told = {str(one["actions"][0]["deployment_id"]): one for one in automations}
    for name, event in (
        ("improve/on-drift", "wheelwork.drift.detected"),
        ("micro/micro", "wheelwork.corrections.collected"),
        ("benchmark/benchmark", "wheelwork.candidate.registered"),
    ):
        automation = told[str(found[name].id)]
        assert automation["enabled"] and automation["trigger"]["expect"] == [event]
        assert "event.payload.loop" in str(automation["actions"][0]["parameters"]["loop"])


class TestStarting:
    @pytest.fixture
    def deployment(self, server: str) -> Iterator[str]:
        from wheelwork.flows.rollback import rollback

        rollback.to_deployment("rollback").apply()
        yield "rollback/rollback"

    def test_a_key_starts_one_run_whose_page_is_told(self, server: str, deployment: str, tmp_path: Path) -> None:
        from prefect.client.orchestration import get_client
        from wheelwork.blocks.hooks import Starter

        start, told = Starter(tmp_path), {"loop": "tiny", "reason": "rude answers"}
        links = [asyncio.run(start(deployment, told, key)) for key in ("key-1", "key-1", "key-2")]
        assert links[0] == links[1] != links[2]
        assert links[0].startswith(f"{server.removesuffix('/api')}/runs/flow-run/")
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(links[0].rpartition("/")[2])
        assert run.parameters == told and "webhook" in run.tags and run.idempotency_key == "key-1"

    def test_what_cannot_be_started_is_said(self, server: str, deployment: str, tmp_path: Path) -> None:
        from wheelwork.blocks.hooks import Starter

        with pytest.raises(ConfigError, match="no deployment `improve/never`"):
            asyncio.run(Starter(tmp_path)("improve/never", {}, "key"))
        with pytest.raises(DependencyError, match="did not start"):
            asyncio.run(Starter(tmp_path)(deployment, {"loop": ["no", "text"]}, "key-3"))

    def test_a_prefect_that_is_not_there_is_said_and_none_is_started(self, server: str, tmp_path: Path) -> None:
        from prefect.settings import PREFECT_API_URL, temporary_settings
        from wheelwork.blocks.hooks import Starter

        with (
            temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
            pytest.raises(DependencyError, match="does not answer"),
        ):
            asyncio.run(asyncio.wait_for(Starter(tmp_path)("improve/on-demand", {}, "key"), 60))
        with (
            temporary_settings(restore_defaults={PREFECT_API_URL}),
            pytest.raises(DependencyError, match="there is no Prefect"),
        ):
            asyncio.run(Starter(tmp_path)("improve/on-demand", {}, "key"))
