"""Webhooks that come in: which are taken, what they start, and that none starts anything twice."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from wheelwork.core.errors import DependencyError
from wheelwork.core.serving.hooks.secrets import LoopSecrets
from wheelwork.core.serving.hooks.verifying import verified
from wheelwork.tests.core.serving.hooks.parts import Door, signed, signed_by_github

REFRESHED = {"type": "data.refreshed", "data": {"samples": 30}}


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_signed_delivery_starts_its_deployment_with_what_the_rule_names(door: Door) -> None:
    body = REFRESHED | {"loop": "another", "data": {"samples": 30, "loop": "/etc", "seed": 1}}
    status, _, told = door.standard(body)
    assert status == 202
    assert told == {
        "status": "started", "id": "msg_1", "event": "data.refreshed",
        "link": "http://127.0.0.1:4200/runs/flow-run/0",
    }  # fmt: skip
    assert list(door.prefect.runs.values()) == [("improve/on-demand", {"samples": 30, "loop": "/loops/tiny"})]


def test_the_same_delivery_again_has_the_same_link_and_no_second_run(door: Door) -> None:
    first = door.standard(REFRESHED, at=time.time() - 60)
    door.hooks = door.opened()  # a restart forgets nothing
    again = door.standard(REFRESHED)
    assert (first[0], again[0], first[2]["link"]) == (202, 200, again[2]["link"])
    assert again[2]["status"] == "repeated" and door.prefect.asked == 1
    assert door.standard(REFRESHED, id="msg_2")[0] == 202 and len(door.prefect.runs) == 2


def test_an_id_that_comes_with_another_body_is_refused(door: Door) -> None:
    door.standard(REFRESHED)
    status, _, told = door.standard(REFRESHED | {"more": 1})
    assert (status, told["error"]["code"], len(door.prefect.runs)) == (409, "delivery_conflict", 1)


def test_the_same_delivery_twice_at_once_is_started_once(door: Door) -> None:
    body = json.dumps(REFRESHED).encode()
    headers = signed(door.secret["standard"], body)
    door.prefect.slow = 0.05

    async def both() -> list[Any]:
        return list(await asyncio.gather(*(door.hooks.handle("tiny", headers, body) for _ in range(5))))

    answers = asyncio.run(both())
    assert sorted(status for status, _, _ in answers) == [200, 200, 200, 200, 202]
    assert len({told["link"] for _, _, told in answers}) == 1 and door.prefect.asked == 1
    assert door.hooks._under_way == {}


@pytest.mark.parametrize("age", [301, 3600, -301])
def test_what_is_older_or_newer_than_five_minutes_is_refused(door: Door, age: int) -> None:
    status, _, told = door.standard(REFRESHED, at=time.time() - age)
    assert (status, told["error"]["code"], door.prefect.asked) == (401, "invalid_signature", 0)


def test_prefect_down_is_503_and_the_delivery_may_come_again(door: Door) -> None:
    door.prefect.down = DependencyError("Prefect does not answer")
    status, headers, told = door.standard(REFRESHED)
    assert (status, headers) == (503, {"Retry-After": "30"})
    assert told["error"] == {
        "message": "the run could not be started now; send the delivery again later",
        "type": "server_error", "param": None, "code": "not_started",
    }  # fmt: skip
    door.prefect.down = None
    assert door.standard(REFRESHED)[0] == 202 and len(door.prefect.runs) == 1


def test_a_prefect_that_hangs_is_503_within_the_patience(tmp_path: Path) -> None:
    door = Door(tmp_path, patience=0.05)
    door.prefect.slow = 30
    assert door.standard(REFRESHED)[0] == 503


def test_any_error_of_the_start_is_503_and_tells_nothing_of_it(door: Door) -> None:
    door.prefect.down = RuntimeError("password=hunter2")
    status, _, told = door.standard(REFRESHED)
    assert status == 503 and "hunter2" not in json.dumps(told)


def test_a_store_that_cannot_be_written_takes_nothing(door: Door) -> None:
    (door.home / "hooks.db").mkdir()
    status, headers, told = door.standard(REFRESHED)
    assert (status, headers["Retry-After"], told["error"]["code"]) == (503, "30", "not_kept")
    assert door.prefect.asked == 0


def test_both_secrets_of_a_rotation_hold_and_the_third_last_does_not(door: Door) -> None:
    oldest = door.secret["standard"]
    second = door.secrets.make("tiny", "standard")
    assert door.standard(REFRESHED, id="a", secret=oldest)[0] == 202
    assert door.standard(REFRESHED, id="b", secret=second)[0] == 202
    third = door.secrets.make("tiny", "standard")
    assert [door.standard(REFRESHED, id=id, secret=one)[0] for id, one in (("c", oldest), ("d", third))] == [401, 202]
    assert door.secrets.forget("tiny", "standard") == 1
    assert door.standard(REFRESHED, id="e", secret=second)[0] == 401


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"type": "data.refreshed"}, 202, None),
        ({"type": "data.refreshed", "data": {"samples": None}}, 202, None),
        ({"type": "data.refreshed", "data": {"samples": 501}}, 422, "data.samples"),
        ({"type": "data.refreshed", "data": {"samples": -1}}, 422, "data.samples"),
        ({"type": "data.refreshed", "data": {"samples": "30"}}, 422, "data.samples"),
        ({"type": "data.refreshed", "data": {"samples": True}}, 422, "data.samples"),
        ({"type": "data.refreshed", "data": {"samples": 1.0}}, 422, "data.samples"),
        ({"type": "data.refreshed", "data": {"samples": 10**400}}, 422, "data.samples"),
        ({"type": "data.refreshed", "data": {"from": "everything"}}, 422, "data.from"),
        ({"type": "data.refreshed", "data": [1]}, 202, None),
        ({"type": "champion.bad", "data": {}}, 422, "data.reason"),
        ({"type": "champion.bad", "data": {"reason": "x" * 41}}, 422, "data.reason"),
        ({"type": "champion.bad", "data": {"reason": "a\nb"}}, 422, "data.reason"),
        ({"type": "champion.bad", "data": {"reason": "\ud800"}}, 422, "data.reason"),
        ({"type": "champion.bad", "data": {"reason": "wrong"}}, 202, None),
        ({"type": "another"}, 422, None),
        ({"type": 7}, 422, None),
        ({}, 422, None),
        ([], 400, None),
    ],
)
def test_nothing_passes_that_is_not_allowed(door: Door, body: Any, status: int, param: str | None) -> None:
    found, _, told = door.standard(body)
    assert found == status and door.prefect.asked == (status == 202)
    if status != 202:
        assert set(told["error"]) == {"message", "type", "param", "code"} and told["error"]["param"] == param


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 3000, b"\xef\xbb\xbf{}", b"1" * 4000]
)
def test_what_is_no_json_object_is_refused_even_when_it_is_signed(door: Door, body: bytes) -> None:
    assert door.standard(body)[0] == 400


def test_a_body_that_is_too_large_is_413_before_anything_is_read(door: Door) -> None:
    assert door.hooks.most_bytes("tiny") == 4096 and door.hooks.most_bytes("other") == 0
    status, _, told = door.take({}, b"x" * 4097)
    assert (status, told["error"]["code"]) == (413, "body_too_large")


def test_other_loops_and_loops_without_webhooks_take_none(tmp_path: Path) -> None:
    door, quiet = Door(tmp_path / "a"), Door(tmp_path / "b", rules={})
    body = json.dumps(REFRESHED).encode()
    assert door.take(signed(door.secret["standard"], body), body, loop="../tiny")[0] == 404
    assert quiet.standard(REFRESHED)[0] == 404
    assert Door(tmp_path / "c", rules={"events": {}}).github({})[0] == 404


# GitHub


def test_githubs_documented_example_verifies() -> None:
    # docs.github.com, "Validating webhook deliveries": the secret, the payload and the signature that they have to give
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = signed_by_github(secret, body)
    assert headers["X-Hub-Signature-256"] == header
    lower = {name.lower(): value for name, value in headers.items()}
    with pytest.raises(Exception, match="no JSON object"):  # beyond the signature, which holds
        verified("github", LoopSecrets(github=(secret,)), lower, body)
    with pytest.raises(Exception, match="does not hold"):
        verified("github", LoopSecrets(github=(secret,)), lower, body + b"!")


def test_github_starts_by_event_or_by_event_and_action(tmp_path: Path) -> None:
    rule = {"deployment": "improve/on-demand"}
    door = Door(tmp_path, {"senders": ["github"], "events": {"push": rule, "workflow_run.completed": rule}})
    assert door.github({"ref": "main"})[0] == 202
    assert door.github({"action": "completed"}, "workflow_run", "2")[0] == 202
    assert door.github({"action": "requested"}, "workflow_run", "3")[0] == 422
    assert door.github({"zen": "Keep it simple."}, "ping", "4")[2]["status"] == "pong"
    assert len(door.prefect.runs) == 2


def test_a_body_of_githubs_is_taken_once_whatever_the_unsigned_headers_say(door: Door) -> None:
    first = door.github({"ref": "main"})
    again = door.github({"ref": "main"}, id="guid-2")
    assert (first[0], again[0], again[2]["link"]) == (202, 200, first[2]["link"])
    assert door.github({"ref": "dev"}, id="guid-1")[0] == 409  # an id that is taken
    assert door.github({"ref": "main"}, event="data.refreshed", id="guid-3")[0] == 409
    assert door.github({"star": 1}, event="star", id="guid-4")[0] == 422
    assert door.github({"star": 1}, event="push", id="guid-5")[0] == 409  # refused as one event, not taken as another
    assert len(door.prefect.runs) == 1


# MLflow


def mlflow(door: Door, data: dict[str, Any], id: str = "d-1", secret: str = "") -> Any:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    at = str(int(time.time()))
    text = json.dumps({"entity": "model_version_alias", "action": "created", "timestamp": "now", "data": data})
    made = _generate_hmac_signature(secret or door.secret["mlflow"], id, at, text)
    headers = {"X-MLflow-Delivery-Id": id, "X-MLflow-Timestamp": at, "X-MLflow-Signature": made}
    return door.take(headers, text.encode())


def test_mlflows_own_webhook_nudges_the_watcher_of_its_loop(door: Door) -> None:
    assert mlflow(door, {"name": "tiny", "alias": "champion", "version": "7"})[2]["status"] == "noticed"
    assert mlflow(door, {"name": "other", "alias": "champion", "version": "7"}, "d-2")[2]["status"] == "ignored"
    assert mlflow(door, {"name": "tiny"}, "d-3", secret="not the secret of it")[0] == 401
    assert door.nudged == ["tiny"] and door.prefect.asked == 0


# secrets


def test_secrets_are_for_their_owner_alone(door: Door) -> None:
    path = door.secrets.path
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(path.read_text())["tiny"]) == {"standard", "github", "mlflow"}
    path.chmod(0o644)
    status, headers, told = door.standard(REFRESHED)
    assert (status, headers["Retry-After"], told["error"]["code"]) == (503, "30", "no_secrets")


def test_a_damaged_file_of_secrets_is_told_without_them(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.secrets.path.write_text('{"tiny": {"standard": ["whsec_c2VjcmV0"]}}')
    assert door.standard(REFRESHED)[0] == 503
    assert "cannot be read as webhook secrets" in caplog.text and "c2VjcmV0" not in caplog.text


def test_secrets_may_come_from_the_environment(door: Door) -> None:
    other = "whsec_" + "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcg=="
    door.secrets._environment = {"WHEELWORK_HOOKS_TINY": f"{other} github:from-the-environment"}
    assert door.standard(REFRESHED, secret=other)[0] == 202
    assert door.secrets.of("tiny").github[0] == "from-the-environment"
    door.secrets._environment = {"WHEELWORK_HOOKS_TINY": "plain"}
    assert door.standard(REFRESHED)[0] == 503


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_many_deliveries_leave_a_bounded_file(tmp_path: Path) -> None:
    from wheelwork.core.serving.hooks.seen import Seen
    from wheelwork.core.serving.hooks.verifying import Delivery

    seen = Seen(tmp_path, most=10)
    for number in range(50):
        seen.add("tiny", Delivery("standard", f"m{number}", "e", {}, f"d{number}"), "link")
    kept = [seen.find("tiny", Delivery("standard", f"m{n}", "e", {}, f"d{n}")) is not None for n in range(50)]
    assert kept == [False] * 40 + [True] * 10
    seen.close()
