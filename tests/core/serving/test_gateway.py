"""The gateway in this process, over fakes: what is answered, under which names, and what is kept of it."""

import asyncio
import time
from pathlib import Path

import httpx
import orjson
import pytest
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.gateway.cache import Cache
from wheelwork.core.serving.gateway.keys import add_key
from wheelwork.core.serving.gateway.settings import GatewaySettings, Limits
from wheelwork.core.serving.parts import Routed
from wheelwork.tests.gateway import ASKED, EchoEngine, FakeHosting, Gateway


def test_a_question_is_answered_by_the_champion_under_its_name(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    answer = gateway.chat()
    told = answer.json()
    assert answer.status_code == 200
    assert told["model"] == "router@v7" and answer.headers["x-wheelwork-version"] == "v7"
    assert told["choices"][0]["message"] == {"role": "assistant", "content": "router-v7: hello there"}
    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert told["id"].startswith("chatcmpl-") and told["object"] == "chat.completion"
    assert "timings" not in told and answer.headers["x-request-id"].startswith("req_")
    kept = gateway.traffic.exchanges[0]
    assert (kept.id, kept.version, kept.role, kept.status) == (told["id"], "7", "champion", 200)
    assert kept.messages == ({"role": "user", "content": "hello there"},) and kept.reply == "router-v7: hello there"
    assert kept.latency > 0 and kept.completion_tokens == 3 and not kept.cached


@pytest.mark.parametrize(
    ("model", "answered", "said"),
    [
        ("router@v6", "router@v6", "router-v6: hi"),
        ("router@base", "router@base", "base: hi"),
        ("base", "router@base", "base: hi"),
    ],
)
def test_a_version_and_the_base_can_be_named(tmp_path: Path, model: str, answered: str, said: str) -> None:
    answer = Gateway(tmp_path).ask("POST", "/v1/completions", json={"model": model, "prompt": "hi"})
    assert answer.json()["model"] == answered
    assert answer.json()["choices"][0]["text"] == said and answer.json()["id"].startswith("cmpl-")


@pytest.mark.parametrize(
    "model", ["rooter", "router@v9", "router@", "router@7x", "@v7", "base@v7", "gpt-4", "router@V7"]
)
def test_a_name_that_is_not_served_is_told_in_openai_form(tmp_path: Path, model: str) -> None:
    answer = Gateway(tmp_path).chat(model=model)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found" and answer.json()["error"]["param"] == "model"


def test_base_is_nobody_where_two_loops_are_served(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, FakeHosting(loops={"router": ["1"], "billing": ["1"]}))
    assert gateway.chat(model="base").status_code == 404
    assert gateway.chat(model="billing@base").status_code == 200


def test_text_parts_and_developers_become_what_every_engine_understands(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    gateway.chat(messages=[{"role": "developer", "content": "be short"}, {"role": "user", "content": parts}])
    sent = gateway.hosting.engine.asked[0][1]
    assert sent["messages"] == [{"role": "system", "content": "be short"}, {"role": "user", "content": "one\ntwo"}]
    assert sent["max_tokens"] == Limits().default_tokens and "model" not in sent


def test_users_are_sticky_and_nobody_reads_who_they_are(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.chat(user="ada")
    gateway.chat(headers={"x-wheelwork-user": "ada"})
    gateway.chat(headers={"x-wheelwork-conversation": "c-1"})
    gateway.chat()
    gateway.chat()
    first, second, talk, *unknown = gateway.hosting.stickies
    assert first == second and len(first) == 32 and len({first, talk, *unknown}) == 4
    kept = gateway.traffic.exchanges
    assert kept[0].user == first and kept[2].conversation == talk and kept[3].user == ""
    assert "ada" not in kept[0].model_dump_json()


def test_a_streamed_answer_comes_in_pieces_and_is_kept_whole(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    answer = gateway.chat(stream=True, stream_options={"include_usage": True})
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert answer.headers["content-type"].startswith("text/event-stream") and events.pop() == "[DONE]"
    chunks = [orjson.loads(event) for event in events]
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        (gateway.traffic.exchanges[0].id, "router@v7", "chat.completion.chunk")
    }
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "router-v7: hello there"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 3
    kept = gateway.traffic.exchanges[0]
    assert kept.reply == "router-v7: hello there" and kept.finish == "stop" and kept.first_token is not None
    assert gateway.hosting.engine.closed_streams == 1 and gateway.hosting.leases == 0


def test_a_stream_that_breaks_off_says_so_and_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    steps = iter([None, None, ServingError(503, "the engine is gone", type="server_error")])

    def before() -> None:
        if (error := next(steps)) is not None:
            raise error

    gateway = Gateway(tmp_path, FakeHosting(EchoEngine(before)))
    events = gateway.chat(stream=True).text.strip().split("\n\n")
    assert orjson.loads(events[-1].removeprefix("data: "))["error"]["message"] == "the engine is gone"
    assert gateway.traffic.exchanges[0].status == 503 and gateway.traffic.exchanges[0].reply == "router-v7: hello"


def test_a_stream_that_fails_before_its_first_piece_is_an_http_error(tmp_path: Path) -> None:
    def before() -> None:
        raise ServingError(503, "the engine starts", type="server_error", retry_after=3)

    answer = Gateway(tmp_path, FakeHosting(EchoEngine(before))).chat(stream=True)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "3"


def test_an_error_of_ours_tells_nothing_but_where_to_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def before() -> None:
        raise RuntimeError("/secret/path is broken")

    gateway = Gateway(tmp_path, FakeHosting(EchoEngine(before)))
    answer = gateway.chat()
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    request = answer.headers["x-request-id"]
    assert request in answer.json()["error"]["message"] and request in caplog.text
    assert gateway.traffic.exchanges[0].status == 500 and gateway.hosting.leases == 0


def test_an_answer_that_takes_too_long_is_504_and_its_engine_is_free_again(tmp_path: Path) -> None:
    hosting = FakeHosting(EchoEngine(lambda: asyncio.sleep(60)))
    gateway = Gateway(tmp_path, hosting, GatewaySettings(limits={"router": Limits(seconds=0.05)}))
    answer = gateway.chat()
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "timeout"
    assert hosting.leases == 0 and gateway.traffic.exchanges[0].status == 504


def test_a_version_that_went_away_in_between_is_routed_again(tmp_path: Path) -> None:
    class Swapped(FakeHosting):
        def route(self, loop: str, version: str | None, sticky: str) -> Routed:
            routed = super().route(loop, version, sticky)
            return Routed("5", "champion") if len(self.stickies) == 1 else routed

    gateway = Gateway(tmp_path, Swapped())
    assert gateway.chat().json()["model"] == "router@v7"
    assert [one.version for one in gateway.traffic.exchanges] == ["7"]


def test_a_shadow_is_asked_after_the_answer_and_never_heard(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, FakeHosting(shadow="6"))

    async def asked() -> str:
        async with gateway.client() as client:
            answer = await client.post("/v1/chat/completions", json=ASKED)
            while len(gateway.traffic.exchanges) < 2:
                await asyncio.sleep(0.001)
            return answer.text

    assert "router-v6" not in asyncio.run(asyncio.wait_for(asked(), 10))
    heard, shadow = gateway.traffic.exchanges
    assert (shadow.role, shadow.version, shadow.shadow_of) == ("shadow", "6", heard.id)
    assert shadow.reply == "router-v6: hello there" and shadow.id != heard.id


def test_shadows_that_are_too_many_are_left_out_and_counted(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, FakeHosting(shadow="6"), GatewaySettings(limits={"router": Limits(shadows=0)}))
    gateway.chat()
    assert len(gateway.traffic.exchanges) == 1
    assert 'wheelwork_shadows_total{end="left out",loop="router"} 1.0' in gateway.ask("GET", "/metrics").text


def test_a_caller_that_goes_away_frees_the_engine(tmp_path: Path) -> None:
    hosting = FakeHosting(EchoEngine(lambda: asyncio.sleep(60)))
    gateway = Gateway(tmp_path, hosting)

    async def gone() -> None:
        said = [{"type": "http.request", "body": orjson.dumps(ASKED)}]

        async def receive() -> dict[str, object]:
            if said:
                return said.pop()
            await asyncio.sleep(0.3)
            return {"type": "http.disconnect"}

        async def send(_: object) -> None:
            raise AssertionError("nobody is there")

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "query_string": b"",
            "root_path": "",
        }  # fmt: skip
        await gateway.app(scope, receive, send)

    asyncio.run(asyncio.wait_for(gone(), 10))
    assert hosting.leases == 0 and gateway.traffic.exchanges[0].status == 499


def test_a_streaming_caller_that_goes_away_stops_the_engine(tmp_path: Path) -> None:
    hosting = FakeHosting(EchoEngine(lambda: asyncio.sleep(0.02)))
    gateway = Gateway(tmp_path, hosting)
    asked = {**ASKED, "stream": True, "messages": [{"role": "user", "content": "word " * 2000}]}
    with gateway.listening() as address:
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=asked) as answer:
            assert next(answer.iter_lines()).startswith("data: ")
        deadline = time.monotonic() + 10
        while (hosting.leases or not gateway.traffic.exchanges) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert hosting.leases == 0 and hosting.engine.closed_streams == 1
    kept = gateway.traffic.exchanges[0]
    assert kept.status == 499 and kept.reply.startswith("router-v7:") and len(kept.reply) < 5000


# the cache


def cached(tmp_path: Path, **settings: object) -> Gateway:
    caches = {"router": Cache.model_validate({"enabled": True, **settings})}
    return Gateway(tmp_path, serving=GatewaySettings(caches=caches))


def test_a_determined_answer_is_given_again_under_an_id_of_its_own(tmp_path: Path) -> None:
    gateway = cached(tmp_path)
    first, second = gateway.chat(temperature=0), gateway.chat(temperature=0.0, user="another")
    assert (first.headers["x-wheelwork-cache"], second.headers["x-wheelwork-cache"]) == ("miss", "hit")
    assert first.json()["choices"] == second.json()["choices"] and first.json()["id"] != second.json()["id"]
    assert len(gateway.hosting.engine.asked) == 1
    assert [one.cached for one in gateway.traffic.exchanges] == [False, True]


def test_what_is_drawn_or_of_another_version_is_asked_anew(tmp_path: Path) -> None:
    gateway = cached(tmp_path)
    for body in ({}, {}, {"seed": 1}, {"seed": 2}, {"seed": 1, "model": "router@v6"}, {"seed": 1, "max_tokens": 5}):
        assert gateway.chat(**body).headers.get("x-wheelwork-cache") in (None, "miss")
    assert len(gateway.hosting.engine.asked) == 6


def test_a_known_answer_is_streamed_too_and_a_streamed_one_is_known(tmp_path: Path) -> None:
    gateway = cached(tmp_path)
    streamed = gateway.chat(temperature=0, stream=True)
    again = gateway.chat(temperature=0)
    replayed = gateway.chat(temperature=0, stream=True)
    assert again.headers["x-wheelwork-cache"] == replayed.headers["x-wheelwork-cache"] == "hit"
    assert len(gateway.hosting.engine.asked) == 1 and "[DONE]" in streamed.text and "[DONE]" in replayed.text
    assert again.json()["choices"][0]["message"]["content"] in replayed.text
    assert gateway.traffic.exchanges[2].reply == gateway.traffic.exchanges[0].reply


@pytest.mark.parametrize(("across", "asked"), [(False, 2), (True, 1)])
def test_answers_cross_keys_only_where_that_is_allowed(tmp_path: Path, across: bool, asked: int) -> None:
    keys = [add_key(tmp_path / "keys.json", name, ["chat"], time.time()) for name in ("a", "b")]
    gateway = cached(tmp_path, across_keys=across)
    for key in keys:
        assert gateway.chat(key, temperature=0).status_code == 200
    assert len(gateway.hosting.engine.asked) == asked
