"""Keys: kept as hashes, replaced with a time of grace, ended; scopes, rates, and a file that changes under way."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from wheelwork.core.errors import ConfigError, ServingError
from wheelwork.core.serving.gateway.audit import acts, note
from wheelwork.core.serving.gateway.keys import StoredKeys, add_key, read_keys, revoke_key, rotate_key
from wheelwork.core.serving.gateway.limits import Uses
from wheelwork.core.serving.gateway.names import Pseudonyms, hasher
from wheelwork.core.serving.gateway.settings import Door, GatewaySettings, Limits
from wheelwork.tests.gateway import ASKED, EchoEngine, FakeHosting, Gateway


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def works(keys: StoredKeys, token: str | None) -> bool:
    try:
        return bool(keys.caller(token).key)
    except ServingError as error:
        assert error.status == 401
        return False


def test_a_key_is_kept_as_its_hash_alone_and_for_its_owner_alone(file: Path) -> None:
    token = add_key(file, "web", ["chat"], 1.0)
    text = file.read_text()
    assert token not in text and token[9:] not in text and len(token) > 40
    assert file.stat().st_mode & 0o077 == 0
    assert read_keys(file)[0].prefix == token[:9]
    with pytest.raises(ConfigError, match="already"):
        add_key(file, "web", ["chat"], 2.0)
    with pytest.raises(ConfigError, match="name"):
        add_key(file, "../web", ["chat"], 2.0)


def test_a_key_that_is_replaced_works_until_the_grace_is_over(file: Path) -> None:
    now = [0.0]
    old = add_key(file, "web", ["chat", "feedback"], 0.0, rate=5)
    new = rotate_key(file, "web", 10.0, 60.0)
    keys = StoredKeys(file, lambda: now[0])
    now[0] = 69.0
    assert works(keys, old) and works(keys, new) and keys.caller(new).rate == 5
    now[0] = 70.0
    assert not works(keys, old) and works(keys, new)


def test_a_key_that_ended_is_refused_within_a_second_and_opens_nothing(file: Path) -> None:
    now = [0.0]
    token = add_key(file, "web", ["chat"], 0.0)
    keys = StoredKeys(file, lambda: now[0])
    assert works(keys, token) and not works(keys, None) and not works(keys, token + "x")
    revoke_key(file, "web", 0.5)
    now[0] = 1.0
    assert not works(keys, token) and not works(keys, None) and keys.needed
    file.unlink()
    now[0] = 3.0
    assert keys.needed and not works(keys, None)
    with pytest.raises(ConfigError, match="there is none yet"):
        revoke_key(file, "web", 4.0)


def test_the_first_key_that_is_made_closes_the_door(file: Path) -> None:
    now = [0.0]
    keys = StoredKeys(file, lambda: now[0])
    assert not keys.needed and keys.caller(None).key == ""
    add_key(file, "web", ["chat"], 0.0)
    now[0] = 1.5
    with pytest.raises(ServingError):
        keys.caller(None)


def test_a_damaged_file_ends_a_start_and_not_a_gateway_that_runs(file: Path) -> None:
    now = [0.0]
    token = add_key(file, "web", ["chat"], 0.0)
    keys = StoredKeys(file, lambda: now[0])
    file.write_text("{")
    now[0] = 2.0
    assert works(keys, token)
    with pytest.raises(ConfigError, match="damaged"):
        StoredKeys(file, lambda: now[0])


def test_each_route_needs_its_scope(tmp_path: Path, file: Path) -> None:
    keys = {scope: add_key(file, scope, [scope], time.time()) for scope in ("chat", "feedback", "admin")}
    gateway = Gateway(tmp_path)
    assert gateway.chat().status_code == 401 and gateway.chat("wk-nobody").status_code == 401
    assert gateway.chat(keys["chat"]).status_code == 200
    said = {"id": gateway.traffic.exchanges[0].id, "rating": 5}
    told = {
        scope: (
            gateway.chat(key).status_code,
            gateway.ask("POST", "/v1/feedback", key, json=said).status_code,
            gateway.ask("GET", "/metrics", key).status_code,
        )
        for scope, key in keys.items()
    }
    assert told == {"chat": (200, 403, 403), "feedback": (403, 403, 403), "admin": (403, 403, 200)}
    assert gateway.ask("GET", "/healthz").status_code == 200


def test_feedback_comes_from_the_key_that_asked(tmp_path: Path, file: Path) -> None:
    one, other = (add_key(file, name, ["chat", "feedback"], time.time()) for name in ("one", "other"))
    gateway = Gateway(tmp_path)
    said = {"id": gateway.chat(one).json()["id"], "thumb": "up"}
    assert gateway.ask("POST", "/v1/feedback", other, json=said).status_code == 403
    assert gateway.ask("POST", "/v1/feedback", one, json=said).status_code == 202


def test_a_key_is_told_when_to_ask_again(tmp_path: Path, file: Path) -> None:
    key = add_key(file, "web", ["chat"], time.time(), rate=0.1)
    gateway = Gateway(tmp_path)
    assert gateway.chat(key).status_code == 200
    answer = gateway.chat(key)
    assert answer.status_code == 429 and answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(answer.headers["retry-after"]) <= 10


def test_a_bucket_fills_again_and_one_key_does_not_empty_anothers() -> None:
    now = [0.0]
    uses, limits = Uses(lambda: now[0]), Limits(rate=2, burst=3)
    take: Callable[[str], object] = lambda key: uses.one(key, "router", limits, None, None).__enter__()  # noqa: E731
    for _ in range(3):
        take("a")
    with pytest.raises(ServingError) as full:
        take("a")
    assert full.value.retry_after == 1
    take("b")
    now[0] = 0.5
    take("a")
    with pytest.raises(ServingError):
        take("a")


def test_requests_at_once_are_counted_until_they_end() -> None:
    uses, limits = Uses(lambda: 0.0), Limits()
    alone = lambda: uses.one("a", "router", limits, None, 1)  # noqa: E731
    with alone(), pytest.raises(ServingError, match="under way"), alone():
        pass
    with alone():
        pass


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "", "10.0.0.1"])
def test_without_keys_a_page_that_points_here_by_name_reads_nothing(tmp_path: Path, host: str) -> None:
    answer = Gateway(tmp_path).chat(headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8090", "127.0.0.1:8090", "[::1]", "[::1]:8090"])
def test_this_machine_is_answered_under_each_of_its_names(tmp_path: Path, host: str) -> None:
    assert Gateway(tmp_path).chat(headers={"host": host}).status_code == 200


def test_a_form_of_another_site_is_no_question(tmp_path: Path) -> None:
    text = '{"model":"router","messages":[{"role":"user","content":"x"}]}'
    told = {"content-type": "text/plain"}
    answer = Gateway(tmp_path).ask("POST", "/v1/chat/completions", content=text, headers=told)
    assert answer.status_code == 415
    preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = Gateway(tmp_path).ask("OPTIONS", "/v1/chat/completions", headers=preflight)
    assert answer.status_code == 405 and "access-control-allow-origin" not in answer.headers


def test_a_gateway_that_is_full_says_so_and_is_still_alive(tmp_path: Path) -> None:
    free = asyncio.Event()
    gateway = Gateway(tmp_path, FakeHosting(EchoEngine(free.wait)), GatewaySettings(door=Door(in_flight=1)))

    async def asked() -> list[int]:
        async with gateway.client() as client:
            first = asyncio.create_task(client.post("/v1/chat/completions", json=ASKED))
            while not gateway.hosting.leases:
                await asyncio.sleep(0)
            second = await client.post("/v1/chat/completions", json=ASKED)
            alive = await client.get("/healthz")
            free.set()
            return [
                second.status_code,
                int(second.headers["retry-after"]),
                alive.status_code,
                (await first).status_code,
            ]

    assert asyncio.run(asyncio.wait_for(asked(), 10)) == [503, 1, 200, 200]


def test_acts_are_written_down(tmp_path: Path) -> None:
    note(tmp_path, "key added", "web", scopes="chat")
    note(tmp_path, "key revoked", "web", who="ada")
    first, second = acts(tmp_path)
    assert (first.what, first.details) == ("key added", {"scopes": "chat"}) and second.who == "ada"


def test_pseudonyms_are_the_same_after_a_restart_and_differ_by_key() -> None:
    name, again = Pseudonyms(hasher(b"secret")), Pseudonyms(hasher(b"secret"))
    assert name("web", "user", "ada") == again("web", "user", "ada")
    assert len({name(key, kind, "ada") for key in ("web", "app") for kind in ("user", "conversation")}) == 4
    assert name("web", "user", "") == ""
