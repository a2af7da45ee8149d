"""The engine for a vLLM server: adapters come and go under names of their own, and what the server says is told."""

import asyncio
import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from wheelwork.core.engines.base import ADAPTER_FILES, Adapter
from wheelwork.core.engines.vllm import Vllm, VllmEngine
from wheelwork.core.errors import ConfigError, DependencyError, ModelError, ServingError, WheelworkError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.settings import parse
from wheelwork.tests.core.engines.asking import answers, request
from wheelwork.tests.core.engines.serving import body, joined, run, said, streamed
from wheelwork.tests.mock_vllm import MockVllm, mock_vllm


@pytest.fixture
def server(tiny: ModelFiles) -> Iterator[MockVllm]:
    with mock_vllm(root=str(tiny.folder)) as running:
        yield running


@pytest.fixture
def engine(server: MockVllm, tiny: ModelFiles, place: Path) -> Iterator[VllmEngine]:
    with Vllm(base_url=server.url).serve(tiny, {}, place) as started:
        yield started  # type: ignore[misc]


def changed(adapter: Adapter, folder: Path, **config: object) -> Adapter:
    """A copy of `adapter` with another configuration."""
    shutil.copytree(adapter.folder, folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return Adapter.at(folder)


def test_a_round_is_answered_by_the_adapters_it_brings(
    server: MockVllm, tiny: ModelFiles, adapters: dict[str, Adapter], place: Path
) -> None:
    settings = Vllm(base_url=f"{server.url}/v1/")
    with settings.start(tiny, adapters, place) as engine:
        assert list(server.adapters) == [f"{name}-{adapter.digest[:12]}" for name, adapter in adapters.items()]
        given = {name: answers(engine, [request("hi")], name) for name in (None, *adapters)}
        assert len({tuple(texts) for texts in given.values()}) == 3
        assert given["home.v1"] == [run(said(engine, body("hi"), "home.v1"))]
        prints = {engine.chat(name).fingerprint for name in (None, *adapters)}
        assert prints == {settings.fingerprint(tiny, adapter) for adapter in (None, *adapters.values())}
        with pytest.raises(ModelError, match="no adapter `home` here"):
            engine.chat("home")
    assert not server.adapters
    server.version = "0.12.0"
    assert settings.fingerprint(tiny) not in prints
    assert settings.model_copy(update={"label": "fp8"}).fingerprint(tiny) != settings.fingerprint(tiny)


def test_a_schema_and_an_answer_that_was_begun_are_asked_for_in_vllms_words(
    server: MockVllm, engine: VllmEngine
) -> None:
    schema = {"type": "object"}
    answers(engine, [request("hi", json_schema=schema)])
    answers(engine, [request("hi", "The modem")])
    run(
        said(
            engine, body("hi") | {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
        )
    )
    first, second, third = server.asked
    assert first["response_format"]["json_schema"]["schema"] == schema and "continue_final_message" not in first
    for asked in (second, third):
        assert asked["continue_final_message"] is True and asked["add_generation_prompt"] is False


def test_pieces_make_the_answer_and_the_model_bears_our_name(
    server: MockVllm, engine: VllmEngine, adapters: dict[str, Adapter]
) -> None:
    run(engine.add("router-v7", adapters["home.v1"]))
    reply = run(engine.answer("chat/completions", body("hi"), "router-v7"))
    chunks = run(streamed(engine, body("hi"), "router-v7"))
    assert joined(chunks) == reply["choices"][0]["message"]["content"] != ""
    assert reply["model"] == "router-v7" and {chunk["model"] for chunk in chunks} == {"router-v7"}
    assert chunks[-1]["usage"] == reply["usage"]
    prompt = {"prompt": "My", "max_tokens": 3}
    assert joined(run(streamed(engine, prompt, None, "completions"))) == run(said(engine, prompt, None, "completions"))


def test_an_adapter_under_an_old_name_would_get_the_old_ones_answers_and_so_never_does(
    server: MockVllm, engine: VllmEngine, adapters: dict[str, Adapter]
) -> None:
    one, two = adapters.values()
    server.load("stale", str(one.folder))
    first = server.tokens("stale", "x", 3)
    server.unload("stale")
    server.load("stale", str(two.folder))
    assert server.tokens("stale", "x", 3) == first  # what vLLM does
    server.unload("stale")

    run(engine.add("router-v1", one))
    run(engine.add("router-v1", one))
    before = run(said(engine, body("hi"), "router-v1"))
    with pytest.raises(ModelError, match="`router-v1` stands for another adapter, and a name never changes"):
        run(engine.add("router-v1", two))
    run(engine.remove("router-v1"))
    run(engine.add("router-v1", two))  # as another process might
    assert run(said(engine, body("hi"), "router-v1")) != before
    with pytest.raises(ModelError, match="no adapter `router-v9` here"):
        run(engine.remove("router-v9"))


def test_a_full_server_says_so_and_keeps_what_it_has(
    server: MockVllm, tiny: ModelFiles, adapters: dict[str, Adapter], place: Path
) -> None:
    one, two = adapters.values()
    with Vllm(base_url=server.url, max_loras=1).serve(tiny, {"a": one}, place) as engine:
        with pytest.raises(ModelError, match=r"holds 1 adapters already .* `engine.max_loras` allows 1"):
            run(engine.add("b", two))
        assert run(said(engine, body("hi"), "a"))
        with pytest.raises(ServingError) as caught:
            run(said(engine, body("hi"), "b"))
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_server_that_does_not_say_how_it_is_in_time_is_busy_not_down(
    server: MockVllm, tiny: ModelFiles, place: Path
) -> None:
    with Vllm(base_url=server.url, timeout=0.2).serve(tiny, {}, place) as engine:
        server.silent = 1.0
        with pytest.raises(TimeoutError, match="vLLM does not answer"):
            run(engine.healthy())


def test_a_server_that_was_started_again_gets_its_adapters_back(
    server: MockVllm, engine: VllmEngine, adapters: dict[str, Adapter]
) -> None:
    run(engine.add("a", adapters["home.v1"]))
    before = run(said(engine, body("hi"), "a"))
    server.restart()
    assert run(engine.healthy()).state == "degraded"
    assert run(said(engine, body("hi"), "a")) == before
    server.restart()
    assert joined(run(streamed(engine, body("hi"), "a"))) == before
    health = run(engine.healthy())
    assert (health.state, health.note) == ("ok", "0 running, 0 waiting")


@pytest.mark.parametrize(
    ("started", "config", "says"),
    [
        ({"runtime_updating": False}, {}, "does not load adapters while it runs; start vLLM with `--enable-lora`"),
        ({"enable_lora": False}, {}, "does not take the adapter .*LoRA is not enabled"),
        ({"folders": {"/loras": Path("/nowhere")}}, {}, "sees no adapter in .*; set `engine.adapters_path`"),
        ({}, {"r": 64}, "LoRA rank 64 is greater than max_lora_rank 16"),
        ({}, {"use_dora": True}, "vLLM does not yet support DoRA"),
    ],
)
def test_an_adapter_that_is_refused_is_one_sentence(
    started: dict[str, object], config: dict[str, object], says: str, tiny: ModelFiles, adapters: dict[str, Adapter],
    tmp_path: Path,
) -> None:  # fmt: skip
    adapter = changed(adapters["home.v1"], tmp_path / "adapter", **config)
    with (
        mock_vllm(root=str(tiny.folder), **started) as server,
        Vllm(base_url=server.url).serve(tiny, {}, tmp_path) as engine,
        pytest.raises(ModelError, match=says) as caught,
    ):
        run(engine.add("a", adapter))
    assert "\n" not in str(caught.value)


def test_adapters_are_copied_where_the_server_sees_them_and_nothing_but_safetensors(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    shutil.copytree(adapters["home.v1"].folder, tmp_path / "adapter")
    (tmp_path / "adapter" / "training_args.bin").write_bytes(b"a pickle")
    shared = tmp_path / "shared"
    with mock_vllm(root=str(tiny.folder), folders={"/loras": shared}) as server:
        settings = Vllm(base_url=server.url, adapters_path=str(shared), server_path="/loras/")
        with settings.serve(tiny, {"a": Adapter.at(tmp_path / "adapter")}, tmp_path) as engine:
            (path,) = server.adapters.values()
            assert path.startswith("/loras/a-")
            assert sorted(file.name for file in next(shared.iterdir()).iterdir()) == sorted(ADAPTER_FILES)
            assert run(said(engine, body("hi"), "a"))
        assert list(shared.iterdir()) == []
        with settings.serve(tiny, {}, tmp_path) as engine, pytest.raises(ModelError, match="name it so"):
            run(engine.add("../a", adapters["home.v1"]))


def test_pickles_are_no_adapter(adapters: dict[str, Adapter], tmp_path: Path) -> None:
    shutil.copytree(adapters["home.v1"].folder, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"not a LoRA adapter, adapter_model.safetensors missing"):
        Adapter.at(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("asked", "status", "code", "retry_after"),
    [(body("hi " * 600), 400, "context_length_exceeded", None), (body("hi"), 502, None, None)],
)
def test_what_the_server_refuses_is_told_in_both_forms(
    asked: dict[str, object], status: int, code: str | None, retry_after: float | None,
    server: MockVllm, engine: VllmEngine,
) -> None:  # fmt: skip
    server.dead = status == 502
    for work in (said(engine, asked), streamed(engine, asked)):
        with pytest.raises(ServingError) as caught:
            run(work)
        assert (caught.value.status, caught.value.code, caught.value.retry_after) == (status, code, retry_after)
        assert "stack trace" not in str(caught.value)
    assert run(engine.healthy()).state == ("down" if server.dead else "ok")


def test_a_caller_that_goes_away_stops_the_work(server: MockVllm, engine: VllmEngine) -> None:
    server.token_delay = 0.02
    lengthy = body("hi", max_tokens=400)

    async def leave() -> None:
        async with aclosing(engine.stream("chat/completions", lengthy, None)) as chunks:
            await anext(chunks)
            await anext(chunks)
        asking = asyncio.create_task(engine.answer("chat/completions", lengthy, None))
        await asyncio.sleep(0.1)
        asking.cancel()
        for _ in range(100):
            if server.broken_off == 2:
                return
            await asyncio.sleep(0.02)

    run(leave())
    assert (server.broken_off, server.running) == (2, 0)


def test_a_stream_is_broken_off_when_the_engine_is_closed_though_the_server_writes_on(
    server: MockVllm, engine: VllmEngine
) -> None:
    server.token_delay = 0.05

    async def close() -> ServingError:
        chunks = engine.stream("chat/completions", body("hi", max_tokens=400), None)
        await anext(chunks)
        await asyncio.to_thread(engine.close)
        with pytest.raises(ServingError) as caught:
            async for _ in chunks:
                pass
        return caught.value

    assert run(asyncio.wait_for(close(), 10)).status == 503


def test_a_server_that_is_gone_is_told_to_callers_and_to_the_user(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    with mock_vllm(root=str(tiny.folder)) as server:
        settings = Vllm(base_url=server.url)
        stack = settings.serve(tiny, {}, tmp_path)
        engine = stack.__enter__()
        run(engine.add("a", adapters["home.v1"]))
    for work in (said(engine, body("hi"), "a"), streamed(engine, body("hi"), "a")):
        with pytest.raises(ServingError) as caught:
            run(work)
        assert (caught.value.status, caught.value.retry_after) == (503, 2.0)
    health = run(engine.healthy())
    assert health.state == "down" and "vLLM does not answer" in health.note
    with pytest.raises(DependencyError, match=r"vLLM does not answer .*; start it, or check `engine.base_url`"):
        settings.fingerprint(tiny)
    stack.__exit__(None, None, None)  # nothing is left to unload


def test_another_model_another_key_and_another_server_are_told(
    server: MockVllm, tiny: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complaint(kind: type[WheelworkError], **settings: object) -> str:
        with pytest.raises(kind) as caught, Vllm.model_validate({"base_url": server.url, **settings}).start(
            dataclasses.replace(tiny, name="other/base", folder=tmp_path), {}, tmp_path
        ):  # fmt: skip
            pass
        return str(caught.value)

    assert "serves base/model, not other/base; start vLLM with the base of this loop" in complaint(ModelError)
    assert "serves base/model, not mine" in complaint(ModelError, model="mine")
    with Vllm(base_url=server.url, model="base/model").start(tiny, {}, tmp_path):
        pass
    server.api_key = "secret"
    assert "wants another API key; see `engine.api_key_env`" in complaint(ModelError)
    assert "the environment variable NO_SUCH_KEY is not set" in complaint(ConfigError, api_key_env="NO_SUCH_KEY")
    monkeypatch.setenv("VLLM_KEY", "secret")
    with Vllm(base_url=server.url, api_key_env="VLLM_KEY").start(tiny, {}, tmp_path) as engine:
        assert run(said(engine, body("hi")))
    server.api_key = ""
    assert "not vLLM's answer" in complaint(ModelError, base_url=f"{server.url}/elsewhere")
    with pytest.raises(ConfigError, match=r"`base_url`: .*write it as http://host:port"):
        parse(Vllm, {"kind": "vllm", "base_url": "gpu:8000"}, "loop.yaml")
