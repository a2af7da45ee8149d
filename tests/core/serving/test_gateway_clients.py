"""The official clients of OpenAI, unchanged, over a real socket."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from wheelwork.core.errors import ServingError
from wheelwork.core.serving.gateway.keys import add_key
from wheelwork.tests.gateway import EchoEngine, FakeHosting, Gateway

CLIENTS = Path(__file__).parents[2] / "clients"
SAID: list = [{"role": "user", "content": "hello there"}]  # type: ignore[type-arg]


class Moody(EchoEngine):
    """Fails as its question says."""

    async def answer(self, path, body, adapter):  # type: ignore[no-untyped-def]
        said = self._text(path, body, None)
        if said.endswith("too long"):
            raise ServingError(400, "longer than the context", code="context_length_exceeded", param="messages")
        if said.endswith("gone"):
            raise ServingError(503, "the engine is gone", type="server_error", retry_after=1)
        return await super().answer(path, body, adapter)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address up to and with /v1, and a key."""
    home = tmp_path_factory.mktemp("home")
    key = add_key(home / "keys.json", "web", ["chat"], time.time(), rate=1000)
    with Gateway(home, FakeHosting(Moody())).listening() as address:
        yield f"{address}/v1", key


@pytest.fixture
def client(served: tuple[str, str]) -> openai.OpenAI:
    return openai.OpenAI(base_url=served[0], api_key=served[1], max_retries=0)


def test_python_asks_and_streams(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="router", messages=SAID, temperature=0)
    assert answer.choices[0].message.content == "router-v7: hello there" and answer.model == "router@v7"
    assert answer.usage is not None and answer.usage.total_tokens == 6
    stream = client.chat.completions.create(
        model="router@v6", messages=SAID, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "router-v6: hello there" and chunks[-1].usage is not None
    assert client.completions.create(model="base", prompt="hi").choices[0].text == "base: hi"
    assert [model.id for model in client.models.list()] == ["router", "router@v6", "router@v7"]
    assert client.models.retrieve("router@v7").id == "router@v7"


def test_python_asks_many_at_once(served: tuple[str, str]) -> None:
    async def asked() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=served[0], api_key=served[1]) as client:
            calls = [
                client.chat.completions.create(model="router", messages=[{"role": "user", "content": str(number)}])
                for number in range(30)
            ]
            texts = [answer.choices[0].message.content for answer in await asyncio.gather(*calls)]
            stream = await client.chat.completions.create(model="router", messages=SAID, stream=True)
            return [*texts, "".join([chunk.choices[0].delta.content or "" async for chunk in stream])]

    *texts, streamed = asyncio.run(asked())
    assert texts == [f"router-v7: {number}" for number in range(30)] and streamed == "router-v7: hello there"


def test_python_raises_its_own_errors(served: tuple[str, str], client: openai.OpenAI) -> None:
    def ask(client: openai.OpenAI = client, **told: object) -> None:
        client.chat.completions.create(**({"model": "router", "messages": SAID} | told))  # type: ignore[call-overload]

    with pytest.raises(openai.NotFoundError) as unknown:
        ask(model="gpt-4")
    assert unknown.value.code == "model_not_found" and unknown.value.param == "model"
    with pytest.raises(openai.BadRequestError) as long:
        ask(messages=[{"role": "user", "content": "too long"}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        ask(temperature=7)
    with pytest.raises(openai.BadRequestError):
        ask(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
    with pytest.raises(openai.InternalServerError):
        ask(messages=[{"role": "user", "content": "gone"}])
    with pytest.raises(openai.AuthenticationError):
        ask(client.with_options(api_key="wk-wrong"))
    with pytest.raises(openai.PermissionDeniedError):
        client.get("/intents", cast_to=object)


def test_python_is_told_that_it_asks_too_often(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "slow", ["chat"], time.time(), rate=0.01)
    with Gateway(tmp_path).listening() as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
        client.models.list()
        client.chat.completions.create(model="router", messages=SAID)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="router", messages=SAID)


def test_node_asks_streams_and_throws_its_own_errors(served: tuple[str, str]) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (CLIENTS / "node_modules" / "openai").is_dir():
        pytest.skip("the Node client is not installed: npm ci --prefix tests/clients")
    done = subprocess.run(
        ["node", "openai.mjs", *served], cwd=CLIENTS, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told == {
        "answer": "router-v7: hello there",
        "model": "router@v7",
        "streamed": "router-v6: hello there",
        "usage": 3,
        "models": ["router", "router@v6", "router@v7"],
        "completion": "base: hi",
        "unknown": ["NotFoundError", 404, "model_not_found"],
        "invalid": ["BadRequestError", 400, "invalid_value"],
        "denied": ["AuthenticationError", 401, "invalid_api_key"],
    }
