"""A merged model as GGUF answers as base and adapter do, and says of itself what the base's file said."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ModelError
from wheelwork.core.export.gguf_model import Figures, write_gguf
from wheelwork.core.export.merged import merge
from wheelwork.core.export.quantizing import Kind
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.core.engines.served import EXACT, completing, log_probabilities, trained, written
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

ENDS = [0, 2]


def prompts(count: int = 4, length: int = 20) -> list[list[int]]:
    rows: list[list[int]] = np.random.default_rng(0).integers(3, 500, (count, length)).tolist()
    return rows


def exported(base: ModelFiles, adapter: Adapter, target: Path, kind: Kind) -> tuple[ModelFiles, Figures]:
    figures = write_gguf(merge(base, adapter), base, target, kind, "tiny v1")
    return ModelFiles(target.stem, base.folder, target, target.stem), figures


@pytest.mark.parametrize(
    ("architecture", "kv_heads", "config"),
    [("llama", 2, {}), ("llama", 4, {"use_rslora": True}), ("llama", 1, {"use_dora": True}), ("qwen2", 2, {})],
    ids=["llama", "llama-4kv-rslora", "llama-1kv-dora", "qwen2"],
)
def test_in_full_precision_tokens_and_probabilities_are_the_same(
    architecture: Any, kv_heads: int, config: dict[str, Any], tmp_path: Path
) -> None:
    base = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "base.gguf", architecture, kv_heads, seed=5)))
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", base.folder, seed=1, **config))
    network, alone = trained(base, adapter), trained(base, None)
    files, _ = exported(base, adapter, tmp_path / "f32.gguf", "f32")
    with completing(EXACT, files, {}, tmp_path / "cache") as served:
        for prompt in prompts():
            answer = written(network, prompt, 12, ENDS)
            assert served.greedy(prompt, None, 12) == [token for token in answer if token not in ENDS]
            assert answer != written(alone, prompt, 12, ENDS)
            row = log_probabilities(network, prompt)[-1]
            assert all(abs(value - float(row[token])) < 1e-4 for token, value in served.top(prompt, None).items())


@pytest.mark.parametrize(("kind", "allowed"), [("f16", 0.05), ("q8_0", 0.3), ("q5_1", 1.5)])
def test_fewer_bits_are_near(kind: Kind, allowed: float, tiny: ModelFiles, adapter: Adapter, tmp_path: Path) -> None:
    network = trained(tiny, adapter)
    files, _ = exported(tiny, adapter, tmp_path / f"{kind}.gguf", kind)
    with completing(EXACT, files, {}, tmp_path / "cache") as served:
        for prompt in prompts():
            row, found = log_probabilities(network, prompt)[-1], served.top(prompt, None)
            assert np.mean([abs(value - float(row[token])) for token, value in found.items()]) < allowed


def test_the_head_is_the_bases_but_for_what_changed(tiny: ModelFiles, adapter: Adapter, tmp_path: Path) -> None:
    files, figures = exported(tiny, adapter, tmp_path / "q4.gguf", "q4_0")
    assert tiny.gguf is not None and files.gguf is not None
    before, after = gguf.GGUFReader(tiny.gguf), gguf.GGUFReader(files.gguf)
    changed = {"general.name", "general.file_type", "general.quantization_version"}
    for name, field in before.fields.items():
        if name not in changed and not name.startswith("GGUF."):
            assert after.fields[name].contents() == field.contents(), name
            assert after.fields[name].types == field.types, name
    assert after.fields["general.name"].contents() == "tiny v1"
    assert after.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q4_0
    assert [tensor.name for tensor in after.tensors] == [tensor.name for tensor in before.tensors]
    assert figures.kinds == {"q8_0": 1, "f32": 5, "q4_0": 14}


def test_what_the_adapter_leaves_alone_keeps_its_bits(tiny: ModelFiles, tmp_path: Path) -> None:
    some = Adapter.at(tiny_adapter(tmp_path / "some", tiny.folder, target_modules=["q_proj"]))
    coarse, _ = exported(tiny, some, tmp_path / "q4.gguf", "q4_0")
    base = ModelStore(tmp_path / "store").get(str(coarse.gguf))
    adapter = Adapter.at(tiny_adapter(tmp_path / "again", base.folder, target_modules=["v_proj"]))
    files, figures = exported(base, adapter, tmp_path / "again.gguf", "q8_0")
    assert files.gguf is not None and base.gguf is not None
    before = {tensor.name: tensor for tensor in gguf.GGUFReader(base.gguf).tensors}
    after = {tensor.name: tensor for tensor in gguf.GGUFReader(files.gguf).tensors}
    for name, tensor in after.items():
        assert np.array_equal(tensor.data, before[name].data) == ("attn_v" not in name)
    assert figures.kept == len(after) - 2 and after["blk.0.attn_v.weight"].tensor_type.name == "Q8_0"


def test_a_changed_vector_has_no_known_place(tiny: ModelFiles, adapter: Adapter, tmp_path: Path) -> None:
    merged = merge(tiny, adapter)
    merged.network.model.norm.weight.data += 1
    with pytest.raises(ModelError, match=r"changes `model.norm.weight`, whose place or layout"):
        write_gguf(merged, tiny, tmp_path / "a.gguf", "f16", "tiny")
    assert not (tmp_path / "a.gguf").exists()
