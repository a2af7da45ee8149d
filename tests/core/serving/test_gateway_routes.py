"""What is asked of the gateway beside questions: models, feedback, labels, webhooks, health, figures."""

import time
from pathlib import Path

import pytest
from wheelwork.core.serving.gateway.asked_parts import Intent
from wheelwork.core.serving.gateway.keys import add_key
from wheelwork.core.serving.gateway.settings import Door, GatewaySettings
from wheelwork.core.serving.parts import Health
from wheelwork.tests.gateway import Gateway


def test_models_are_listed_and_looked_up(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    ids = [one["id"] for one in gateway.ask("GET", "/v1/models").json()["data"]]
    assert ids == ["router", "router@v6", "router@v7"]
    for name in (*ids, "router@base", "base"):
        assert gateway.ask("GET", f"/v1/models/{name}").json()["id"] == name
    assert gateway.ask("GET", "/v1/models/router@v8").json()["error"]["code"] == "model_not_found"


def test_feedback_names_an_answer(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    answer = gateway.chat().json()["id"]
    said = {"id": answer, "thumb": "down", "correction": "slow_internet"}
    assert gateway.ask("POST", "/v1/feedback", json=said).status_code == 202
    assert gateway.traffic.given[0].correction == "slow_internet" and gateway.traffic.given[0].exchange == answer
    assert gateway.ask("POST", "/v1/feedback", json={"id": answer}).status_code == 400
    assert gateway.ask("POST", "/v1/feedback", json={"id": "chatcmpl-0", "rating": 5}).status_code == 404
    assert gateway.ask("POST", "/v1/feedback", json={"id": answer, "rating": 6}).status_code == 400


def test_labels_of_questions_are_counted_for_the_loop(tmp_path: Path) -> None:
    class Labels:
        async def intents(self, loop: str, hours: float, limit: int) -> list[Intent]:
            return [Intent(f"{loop} {hours:g} {limit}", 3, 7.0)]

    gateway = Gateway(tmp_path, intents=Labels())
    told = gateway.ask("GET", "/v1/intents?hours=2&limit=5").json()
    assert told["data"] == [{"label": "router 2 5", "count": 3, "latest": 7.0}]
    for bad in ("hours=nan", "hours=0", "limit=1e9", "limit=x"):
        assert gateway.ask("GET", f"/v1/intents?{bad}").status_code == 400
    assert gateway.ask("GET", "/v1/intents?loop=other").status_code == 404
    assert Gateway(tmp_path).ask("GET", "/v1/intents").status_code == 404


def test_readiness_tells_what_is_degraded_and_what_is_down(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.traffic.state = Health("traffic", "degraded", "the database is full")
    answer = gateway.ask("GET", "/readyz")
    assert answer.status_code == 200 and answer.json()["status"] == "degraded" and "full" in answer.text
    gateway.hosting.state = Health("hosting", "down", "no engine")
    assert gateway.ask("GET", "/readyz").status_code == 503
    assert gateway.ask("GET", "/healthz").json() == {"status": "ok"}


def test_what_is_wrong_is_told_only_to_who_has_a_key(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "ops", ["admin"], time.time())
    gateway = Gateway(tmp_path)
    gateway.traffic.state = Health("traffic", "degraded", "/var/traffic.db is full")
    assert "/var" not in gateway.ask("GET", "/readyz").text
    assert "/var" in gateway.ask("GET", "/readyz", key).text


def test_hooks_are_handed_on_as_they_came(tmp_path: Path) -> None:
    class Hooks:
        def most_bytes(self, loop: str) -> int:
            return 1024

        async def handle(self, loop: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], dict]:  # type: ignore[type-arg]
            return 202, {"location": "/run"}, {"loop": loop, "signature": headers["webhook-signature"], "n": len(body)}

    add_key(tmp_path / "keys.json", "ops", ["admin"], time.time())  # hooks are signed and need no key
    gateway = Gateway(tmp_path, hooks=Hooks())
    answer = gateway.ask("POST", "/hooks/router", content=b"{}", headers={"webhook-signature": "v1,abc"})
    assert answer.status_code == 202 and answer.headers["location"] == "/run"
    assert answer.json() == {"loop": "router", "signature": "v1,abc", "n": 2}
    assert gateway.ask("POST", "/hooks/router", content=b"x" * 1025).status_code == 413
    assert gateway.ask("POST", "/hooks/other", content=b"{}").status_code == 404
    assert Gateway(tmp_path).ask("POST", "/hooks/router", content=b"{}").status_code == 404


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.chat()
    gateway.chat(model="nobody")
    told = gateway.ask("GET", "/metrics").text
    for line in (
        'wheelwork_requests_total{route="/v1/chat/completions",status="200"} 1.0',
        'wheelwork_requests_total{route="/v1/chat/completions",status="404"} 1.0',
        'wheelwork_answer_seconds_count{loop="router",role="champion",version="7"} 1.0',
        'wheelwork_tokens_total{kind="written",loop="router",version="7"} 3.0',
        'wheelwork_exchanges_total{end="stored"} 1.0',
        'wheelwork_version_served_since_seconds{loop="router",role="champion",version="7"} 5.0',
        "wheelwork_in_flight 1.0",
    ):
        assert line in told


def test_a_body_that_is_too_large_is_413_before_it_is_read(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, serving=GatewaySettings(door=Door(body_bytes=1024)))
    long = [{"role": "user", "content": "x" * 2000}]
    answer = gateway.chat(messages=long)
    assert answer.status_code == 413 and answer.headers["connection"] == "close"


def test_an_error_beside_the_hot_path_is_told_in_the_same_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def intents(self, loop: str, hours: float, limit: int) -> list[object]:
            raise RuntimeError("/secret/path is broken")

    answer = Gateway(tmp_path, intents=Broken()).ask("GET", "/v1/intents")
    assert answer.status_code == 500 and "secret" not in answer.text
    request = answer.headers["x-request-id"]
    assert request in answer.json()["error"]["message"] and request in caplog.text
