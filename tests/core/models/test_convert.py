"""GGUF to transformers: the same tokens go in, the same tokens come out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import xllamacpp
from transformers import AutoModelForCausalLM, AutoTokenizer
from wheelwork.core.errors import ModelError
from wheelwork.core.models.convert import convert_gguf
from wheelwork.core.models.progress import quiet_transformers
from wheelwork.tests.tiny import tiny_llama_gguf

PROMPTS = ["hello", "My modem shows a red light", "Why 123?\n\n1. x\n\n2. y", "你好 ² 5G", "a  12"]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def folder(gguf: Path) -> Path:
    return convert_gguf(gguf, gguf.parent / "converted")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    with quiet_transformers():
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture(scope="module")
def engine(gguf: Path) -> Iterator[httpx.Client]:
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel, params.port, params.hostnames, params.verbosity = 512, 1, 0, ["127.0.0.1"], 0
    params.warmup, params.cpuparams.n_threads = False, 1
    # float32 throughout: with its half-precision cache and flash attention, two close logits may change places
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)
    with httpx.Client(base_url=server.listening_address, timeout=60) as client:
        yield client


def test_the_same_seed_gives_the_same_file(gguf: Path, tmp_path: Path) -> None:
    assert tiny_llama_gguf(tmp_path / "again.gguf").read_bytes() == gguf.read_bytes()
    assert tiny_llama_gguf(tmp_path / "other.gguf", seed=1).read_bytes() != gguf.read_bytes()


def test_the_folder_is_plain_float32_and_knows_how_to_pad(folder: Path, tokenizer: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config and config["dtype"] == "float32"
    generation = json.loads((folder / "generation_config.json").read_text())
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (
        config["pad_token_id"] == generation["pad_token_id"] == tokenizer.pad_token_id == tokenizer.eos_token_id == end
    )
    assert not list(folder.parent.glob(".converted.*"))


def test_conversion_happens_once_and_shows_itself_alone(
    gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[str, int, int]] = []
    target = tmp_path / "out"
    convert_gguf(gguf, target, lambda *step: steps.append(step))
    size = gguf.stat().st_size
    assert {label for label, _, _ in steps} == {"converting tiny.gguf"} and {total for *_, total in steps} == {size}
    done = [done for _, done, _ in steps]
    assert done == sorted(done) and done[0] == 0 and done[-1] == size and len(done) > 5
    assert capfd.readouterr() == ("", "")

    again: list[tuple[str, int, int]] = []
    assert convert_gguf(gguf, target, lambda *step: again.append(step)) == target
    assert again == []


def test_the_librarys_switches_are_put_back() -> None:
    from transformers import modeling_gguf_pytorch_utils as loader
    from transformers.utils import logging

    before = (logging.get_verbosity(), loader.tqdm)
    with pytest.raises(KeyboardInterrupt), quiet_transformers():
        raise KeyboardInterrupt
    assert (logging.get_verbosity(), loader.tqdm) == before
    assert logging.set_tqdm_hook(None) is None


@pytest.mark.parametrize("content", [b"", b"GG", b"just text", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64])
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad.gguf: (this is not a GGUF file|cannot be read as a GGUF model)"):
        convert_gguf(tmp_path / "bad.gguf", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.gguf"]


def test_a_gguf_cut_short_is_refused(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "short.gguf").write_bytes(gguf.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="cannot be read as a GGUF model"):
        convert_gguf(tmp_path / "short.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.gguf: there is no such file"):
        convert_gguf(tmp_path / "none.gguf", tmp_path / "out")


@pytest.mark.parametrize("text", PROMPTS)
def test_the_engine_and_transformers_see_the_same_tokens(engine: httpx.Client, tokenizer: Any, text: str) -> None:
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": text}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert engine.post("/apply-template", json={"messages": messages}).json()["prompt"] == prompt
    served = engine.post("/tokenize", json={"content": prompt, "add_special": True, "parse_special": True}).json()[
        "tokens"
    ]
    assert tokenizer(prompt)["input_ids"] == served


@pytest.mark.parametrize("text", PROMPTS)
def test_the_engine_and_transformers_answer_with_the_same_tokens(
    engine: httpx.Client, model: Any, tokenizer: Any, text: str
) -> None:
    messages = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    # llama.cpp also ends at <|endoftext|>, whatever the file names as its end token
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    with torch.inference_mode():
        written = model.generate(torch.tensor([ids]), max_new_tokens=32, do_sample=False, eos_token_id=ends)
    request = {"prompt": ids, "n_predict": 32, "temperature": 0, "return_tokens": True, "cache_prompt": False}
    assert engine.post("/completion", json=request).json()["tokens"] == written[0, len(ids) :].tolist()
