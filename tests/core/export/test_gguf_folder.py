"""A model that never was a GGUF: its head is made from its folder, and it answers as it does in transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from transformers import AutoTokenizer
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ModelError
from wheelwork.core.export.gguf_folder import SPLITS, split_of
from wheelwork.core.export.gguf_model import check_gguf_fits, write_gguf
from wheelwork.core.export.merged import merge
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.core.engines.served import EXACT, completing, trained, written
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

ENDS = [0, 2]


def folder_of(tmp_path: Path, architecture: Any = "llama") -> ModelFiles:
    """A tiny model whose GGUF nobody knows."""
    made = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "base.gguf", architecture, seed=5)))
    shutil.copytree(made.folder, tmp_path / "model")
    return ModelStore(tmp_path / "store").get(str(tmp_path / "model"))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_it_reads_and_answers_as_in_transformers(architecture: str, tmp_path: Path) -> None:
    base = folder_of(tmp_path, architecture)
    assert base.gguf is None
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", base.folder, seed=1))
    write_gguf(merge(base, adapter), base, tmp_path / "a.gguf", "f32", "tiny v1")
    files = ModelFiles("a", base.folder, tmp_path / "a.gguf", "a")
    tokenizer, network = AutoTokenizer.from_pretrained(base.folder), trained(base, adapter)
    with completing(EXACT, files, {}, tmp_path / "cache") as served:
        for text in ("My bill of 125 euros?", "<|im_start|>user\nThe modem\n\n1<|im_end|>\n", "你好"):
            prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
            answer = written(network, prompt, 10, ENDS)
            assert served.greedy(prompt, None, 10) == [token for token in answer if token not in ENDS]


def test_its_head_says_what_the_first_one_said(tmp_path: Path) -> None:
    base = folder_of(tmp_path)
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", base.folder))
    write_gguf(merge(base, adapter), base, tmp_path / "a.gguf", "q8_0", "tiny v1")
    first, made = gguf.GGUFReader(tmp_path / "base.gguf"), gguf.GGUFReader(tmp_path / "a.gguf")
    other = {"general.name", "general.file_type", "tokenizer.ggml.bos_token_id"}
    for name, field in first.fields.items():
        if name in made.fields and not name.startswith("GGUF.") and name not in other:
            found, expected = made.fields[name].contents(), field.contents()
            assert found == pytest.approx(expected) if isinstance(expected, float) else found == expected, name
    assert {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "llama.block_count"} <= made.fields.keys()


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    described = json.loads((folder / name).read_text())
    change(described)
    (folder / name).write_text(json.dumps(described))


REFUSED: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "architecture": ("config.json", lambda it: it.update(architectures=["FalconForCausalLM"]), "its architecture is"),
    "tokenizer": ("tokenizer.json", lambda it: it["model"].update(type="Unigram"), "no byte-level BPE"),
    "split": ("tokenizer.json", lambda it: it.update(pre_tokenizer={"type": "Whitespace"}), "not known here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_known_here_is_refused_before_anything_is_loaded(case: str, tmp_path: Path) -> None:
    base = folder_of(tmp_path)
    name, change, why = REFUSED[case]
    changed(base.folder, name, change)
    with pytest.raises(ModelError, match=f"{why}.*use --format merged"):
        check_gguf_fits(base)


def test_stretched_positions_are_refused(tmp_path: Path) -> None:
    base = folder_of(tmp_path)
    merged = merge(base, Adapter.at(tiny_adapter(tmp_path / "adapter", base.folder)))
    merged.network.config.rope_parameters = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}
    with pytest.raises(ModelError, match="its positions are stretched"):
        write_gguf(merged, base, tmp_path / "a.gguf", "f16", "tiny")


def test_the_splits_of_llama_3_and_qwen_2_are_known(tmp_path: Path) -> None:
    base = folder_of(tmp_path)
    for split in [name for name in SPLITS if name.startswith("split ")]:
        pattern = split.removeprefix("split ").removesuffix(", bytes")
        steps = [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        ]
        described = {"type": "Sequence", "pretokenizers": steps}
        changed(base.folder, "tokenizer.json", lambda it, to=described: it.update(pre_tokenizer=to))
        assert split_of(base) == SPLITS[split]
