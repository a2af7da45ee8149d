"""The engine for any architecture: it answers as llama.cpp does, and says plainly what it cannot do."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from wheelwork.core.engines.base import Adapter, Engine
from wheelwork.core.engines.transformers import Transformers
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.core.engines.asking import PROMPTS, answers, replies, request
from wheelwork.tests.core.engines.served import EXACT
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

CPU = Transformers(device="cpu")


@pytest.fixture(scope="module")
def engine(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> Iterator[Engine]:
    with CPU.start(tiny, adapters, place / "cache") as started:
        yield started


@pytest.fixture(scope="module")
def llamacpp(tiny: ModelFiles, adapters: dict[str, Adapter], place: Path) -> Iterator[Engine]:
    with EXACT.start(tiny, adapters, place / "cache") as started:
        yield started


def whole(text: str) -> str:
    """Without what the limit left of a character: random models write bytes that are no text."""
    return text.rstrip("\ufffd")


@pytest.mark.parametrize("name", [None, "home.v1", "home.v2"])
def test_greedy_answers_are_those_of_llamacpp(engine: Engine, llamacpp: Engine, name: str | None) -> None:
    asked = [request(text, max_tokens=32) for text in PROMPTS]
    theirs = replies(llamacpp, asked, name)
    ours = replies(engine, asked, name)
    assert [(whole(one.text), one.finish, one.prompt_tokens) for one in ours] == [
        (whole(one.text), one.finish, one.prompt_tokens) for one in theirs
    ]
    assert len({one.text for one in ours}) == len(asked)


@pytest.mark.parametrize("begun", ["The", "The modem", "- one\n- two\n-", "1. a\n\n2. "])
def test_an_answer_that_was_begun_goes_on_as_in_llamacpp(engine: Engine, llamacpp: Engine, begun: str) -> None:
    asked = [request(text, begun) for text in PROMPTS]
    assert [whole(text) for text in answers(engine, asked)] == [whole(text) for text in answers(llamacpp, asked)]


def test_an_answer_ends_at_endoftext_too_as_in_llamacpp(tiny: ModelFiles, tmp_path: Path) -> None:
    folder = tmp_path / "ends"
    shutil.copytree(tiny.folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][0] *= (
        100  # <|endoftext|>: the likeliest token by far, where it is not the least
    )
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with CPU.start(ModelStore(tmp_path / "store").get(str(folder)), {}, tmp_path) as engine:
        given = replies(engine, [request(f"{text} {n}") for text in PROMPTS for n in range(3)])
    ended = [reply for reply in given if reply.finish == "stop"]
    assert ended and not any("<|" in reply.text for reply in ended)


def test_the_model_answers_as_itself_after_an_adapter(engine: Engine) -> None:
    asked = [request(PROMPTS[0])]
    names = (None, "home.v1", "home.v2")
    first = {name: answers(engine, asked, name) for name in names}
    assert len({tuple(texts) for texts in first.values()}) == 3
    assert {name: answers(engine, asked, name) for name in reversed(names)} == first


def test_the_seed_alone_decides_a_sampled_answer(engine: Engine) -> None:
    asked = [request(text, temperature=1.0, seed=seed) for text in PROMPTS[:2] for seed in (1, 2)]
    first = answers(engine, asked)
    assert answers(engine, asked[::-1]) == first[::-1]
    assert len(set(first)) == len(first)


def test_an_answer_ends_before_the_first_stop_string(engine: Engine, llamacpp: Engine) -> None:
    (text,) = answers(engine, [request(PROMPTS[0], max_tokens=32)])
    stop = text[5:8]
    asked = [request(PROMPTS[0], max_tokens=32, stop=("not in it", stop))]
    (reply,) = replies(engine, asked)
    assert (reply.text, reply.finish) == (text[: text.index(stop)], "stop")
    assert reply.completion_tokens < 32
    assert answers(llamacpp, asked) == [reply.text]


def test_an_answer_that_is_cut_says_so(engine: Engine) -> None:
    (reply,) = replies(engine, [request(PROMPTS[0], max_tokens=3)])
    assert (reply.finish, reply.completion_tokens) == ("length", 3)


def test_a_json_schema_is_refused(engine: Engine) -> None:
    with pytest.raises(ModelError, match="cannot hold a reply to a JSON schema; use llamacpp"):
        answers(engine, [request("hi", json_schema={"type": "object"})])


def test_an_adapter_that_is_not_served_is_named(engine: Engine) -> None:
    with pytest.raises(ModelError, match=r"no adapter `home` here; the engine serves home.v1, home.v2"):
        engine.chat("home")


def test_a_model_without_a_chat_template_is_named(tiny: ModelFiles, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(tiny.folder, folder)
    (folder / "chat_template.jinja").unlink()
    with (
        CPU.start(ModelStore(tmp_path / "store").get(str(folder)), {}, tmp_path) as engine,
        pytest.raises(ModelError, match="bare: the model's chat template does not take such a conversation"),
    ):
        answers(engine, [request("hi")])


def test_how_the_models_file_would_sample_does_not_matter(tiny: ModelFiles, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "opinionated"
    shutil.copytree(tiny.folder, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repetition_penalty": 9.0, "do_sample": True}))
    asked = [request(text) for text in PROMPTS]
    with CPU.start(ModelStore(tmp_path / "store").get(str(folder)), {}, tmp_path) as other:
        assert answers(other, asked) == answers(engine, asked)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_an_adapter_of_another_base_is_one_sentence(architecture: str, tiny: ModelFiles, tmp_path: Path) -> None:
    base = tiny
    if architecture == "llama":  # another number of key-value heads; otherwise the same
        base = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "mha.gguf", "llama", 4)))
    folder = tiny_adapter(tmp_path / "adapter", base.folder)
    if architecture == "qwen2":  # a layer that the base has not
        weights = folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes().replace(b"layers.1.", b"layers.7."))
    with (
        pytest.raises(ModelError, match=f"{folder}: this adapter does not fit the model") as caught,
        CPU.start(tiny, {"a": Adapter.at(folder)}, tmp_path),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_nothing_is_written_to_the_terminal(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with CPU.start(tiny, adapters, tmp_path) as engine:
        answers(engine, [request("hi"), request("hi", temperature=1.0), request("hi", "ho")], "home.v1")
    assert capfd.readouterr() == ("", "")
