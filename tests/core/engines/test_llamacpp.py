"""The embedded engine: what it opens and gives back, what it refuses, and that no answer is another's."""

import asyncio
import dataclasses
import json
import shutil
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.tests.core.engines.asking import PROMPTS, answers, request
from wheelwork.tests.core.engines.served import EXACT


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def gone(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_stopped_engine_gives_back_its_port_and_its_threads(tiny: ModelFiles, place: Path) -> None:
    def once() -> int:
        with EXACT.start(tiny, {}, place / "cache") as engine:
            answers(engine, [request(PROMPTS[0])])
            port = urlsplit(engine.base_url).port  # type: ignore[attr-defined]
            assert not gone(port)
        assert gone(port)
        return threads()

    first = once()  # OpenMP keeps its pool
    assert [once() for _ in range(4)] == [first] * 4


def test_a_client_that_stays_connected_does_not_hold_the_engine_up(tiny: ModelFiles, place: Path) -> None:
    with EXACT.start(tiny, {}, place / "cache") as engine:
        client = httpx.Client()
        assert client.get(f"{engine.base_url.removesuffix('/v1')}/health").is_success
        started = time.monotonic()
    assert time.monotonic() - started < 3
    client.close()


def test_an_engine_is_stopped_in_the_middle_of_an_answer(tiny: ModelFiles, place: Path) -> None:
    outcomes: list[object] = []

    def ask(url: str, key: str) -> None:
        body = {"prompt": "x", "n_predict": 1_000_000, "ignore_eos": True}
        try:
            outcomes.append(httpx.post(url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30))
        except httpx.HTTPError as error:
            outcomes.append(error)

    with EXACT.start(tiny, {}, place / "cache") as engine:
        asking = threading.Thread(target=ask, args=(f"{engine.base_url}/completions", engine.api_key))
        asking.start()
        time.sleep(2)  # an engine that is ended just as a request comes would wait for it for ever
        started = time.monotonic()
    assert time.monotonic() - started < 5
    asking.join(timeout=5)
    assert outcomes


def test_it_listens_on_loopback_only_and_wants_its_key(tiny: ModelFiles, place: Path) -> None:
    with EXACT.start(tiny, {}, place / "cache") as engine:
        port = urlsplit(engine.base_url).port
        assert port is not None
        tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        listening = [line.split()[1] for lines in tables for line in lines if line.split()[3] == "0A"]
        assert [place for place in listening if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
        body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            response = httpx.post(f"{engine.base_url}/chat/completions", json=body, headers=headers)
            assert response.status_code == 401
        with EXACT.start(tiny, {}, place / "cache") as second:
            assert second.api_key != engine.api_key


def test_every_request_is_answered_by_the_adapter_it_names(
    tiny: ModelFiles, adapters: dict[str, Adapter], place: Path
) -> None:
    requests = [request(text) for text in PROMPTS]
    names = [None, *adapters]
    expected = {}
    for name in names:
        only = {name: adapters[name]} if name else {}
        with EXACT.start(tiny, only, place / "cache") as engine:
            expected[name] = answers(engine, requests, name)
    assert len({tuple(texts) for texts in expected.values()}) == 3
    with EXACT.start(tiny, adapters, place / "cache") as engine:
        # the same prompt for one adapter after the other: what one has cached of it, the next must not read
        for index, one in enumerate(requests):
            for name in (*names, *reversed(names)):
                assert answers(engine, [one], name) == [expected[name][index]]
        assert {name: answers(engine, requests, name) for name in names} == expected


def test_several_slots_keep_adapters_apart(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> None:
    settings = EXACT.model_copy(update={"slots": 4})
    names = [None, *adapters]
    requests = [request(text) for text in PROMPTS]
    with settings.start(tiny, adapters, place / "cache") as engine:
        alone = [text for name in names for text in answers(engine, requests, name)]

        async def at_once() -> list[str]:
            chats = [engine.chat(name) for name in names]
            given = await asyncio.gather(*(chat(one) for chat in chats for one in requests))
            await asyncio.gather(*(chat.aclose() for chat in chats))
            return [reply.text for reply in given]

        assert asyncio.run(at_once()) == alone


def test_sampling_depends_on_the_seed_and_not_on_what_was_asked_before(tiny: ModelFiles, place: Path) -> None:
    requests = [request(text, temperature=1.0, seed=seed) for text in PROMPTS for seed in (1, 2)]
    with LlamaCpp(threads=1, context=512).start(tiny, {}, place / "cache") as engine:
        first = answers(engine, requests)
        assert list(reversed(answers(engine, requests[::-1]))) == first
    assert len(set(first)) == len(first)


def test_a_json_schema_is_held(tiny: ModelFiles, place: Path) -> None:
    schema = {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"]}
    with EXACT.start(tiny, {}, place / "cache") as engine:
        (text,) = answers(engine, [request("Is it?", json_schema=schema, max_tokens=64)])
    assert json.loads(text)["label"] in ("yes", "no")


def test_nothing_is_written_to_the_terminal(
    tiny: ModelFiles, adapters: dict[str, Adapter], place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with EXACT.start(tiny, adapters, tmp_path) as engine:
        answers(engine, [request(PROMPTS[0])], "home.v1")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but no more")
    with (
        pytest.raises(ModelError),
        EXACT.start(dataclasses.replace(tiny, gguf=tmp_path / "bad.gguf"), {}, tmp_path),
    ):
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["no gguf", "missing", "cut short", "text"])
def test_a_model_that_cannot_be_started_is_one_sentence(damage: str, tiny: ModelFiles, tmp_path: Path) -> None:
    assert tiny.gguf is not None
    path = tmp_path / "model.gguf"
    if damage == "cut short":
        path.write_bytes(tiny.gguf.read_bytes()[:-5000])
    elif damage == "text":
        path.write_text("hello")
    model = dataclasses.replace(tiny, gguf=None if damage == "no gguf" else path)
    with pytest.raises(ModelError) as caught, EXACT.start(model, {}, tmp_path):
        pass
    assert "\n" not in str(caught.value) and str(caught.value).startswith(("tiny", str(path)))


def test_an_adapter_of_another_base_is_one_sentence(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapters["home.v1"].folder, folder)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"layers.1.", b"layers.7."))
    with (
        pytest.raises(ModelError, match=f"{folder}: llama.cpp has no place for"),
        EXACT.start(tiny, {"a": Adapter.at(folder)}, tmp_path / "cache"),
    ):
        pass


def test_a_converted_adapter_that_is_damaged_is_one_sentence(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    with EXACT.start(tiny, adapters, tmp_path):
        pass
    for converted in tmp_path.glob("*.gguf"):
        converted.write_bytes(converted.read_bytes()[:-500])
    with (
        pytest.raises(ModelError, match=r"with the adapters home.v1, home.v2; .*damaged"),
        EXACT.start(tiny, adapters, tmp_path),
    ):
        pass


def test_an_adapter_that_is_not_served_is_named(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> None:
    with (
        EXACT.start(tiny, adapters, place / "cache") as engine,
        pytest.raises(ModelError, match=r"no adapter `home` here; the engine serves home.v1, home.v2"),
    ):
        engine.chat("home")


def test_the_fingerprint_names_all_that_changes_an_answer(tiny: ModelFiles, adapters: dict[str, Adapter]) -> None:
    settings = [LlamaCpp(), LlamaCpp(slots=2), LlamaCpp(attention="f32")]
    prints = {each.fingerprint(tiny, adapter) for each in settings for adapter in (None, *adapters.values())}
    assert len(prints) == 9
    moved = dataclasses.replace(tiny, folder=Path("/elsewhere"), gguf=Path("/elsewhere/tiny.gguf"))
    assert LlamaCpp(threads=2).fingerprint(moved) == LlamaCpp().fingerprint(tiny)
