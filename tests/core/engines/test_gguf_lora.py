"""Adapters as GGUF: the layout llama.cpp expects, and a refusal of everything it cannot express."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.gguf_lora import export_lora, interleave
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.tests.tiny import tiny_adapter, tiny_gguf

KEY = "base_model.model.model.layers.0.self_attn.q_proj"


@given(heads=st.integers(1, 6), half=st.integers(1, 5), columns=st.integers(1, 4))
def test_interleaving_puts_the_rotary_partners_side_by_side(heads: int, half: int, columns: int) -> None:
    rows = np.arange(heads * 2 * half * columns, dtype=np.float32).reshape(-1, columns)
    expected = np.empty_like(rows)
    for head in range(heads):
        for pair in range(half):
            first = head * 2 * half
            expected[first + 2 * pair] = rows[first + pair]
            expected[first + 2 * pair + 1] = rows[first + pair + half]
    assert np.array_equal(interleave(rows, heads), expected)


def exported(adapter: Adapter, model: ModelFiles, target: Path) -> gguf.GGUFReader:
    assert model.gguf is not None
    return gguf.GGUFReader(export_lora(adapter, model.gguf, target))


def test_every_matrix_has_its_place_and_only_q_and_k_are_reordered(
    tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    adapter = adapters["home.v1"]
    reader = exported(adapter, tiny, tmp_path / "a.gguf")
    weights = load_file(adapter.folder / "adapter_model.safetensors")
    found = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert len(found) == len(weights) == 2 * 2 * 7  # A and B of seven layers in two blocks
    fields = {key: reader.fields[key].contents() for key in ("general.type", "adapter.type", "adapter.lora.alpha")}
    assert fields == {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0}
    same = {
        "q_proj.lora_A": "attn_q.weight.lora_a",
        "v_proj.lora_B": "attn_v.weight.lora_b",
        "o_proj.lora_B": "attn_output.weight.lora_b",
    }
    for theirs, ours in same.items():
        key = f"base_model.model.model.layers.1.self_attn.{theirs}.weight"
        assert np.array_equal(found[f"blk.1.{ours}"], weights[key].numpy())
    for theirs, ours, heads in (("q_proj", "attn_q", 4), ("k_proj", "attn_k", 2)):
        rows = weights[f"base_model.model.model.layers.1.self_attn.{theirs}.lora_B.weight"].numpy()
        assert np.array_equal(found[f"blk.1.{ours}.weight.lora_b"], interleave(rows, heads))


def test_qwen2_keeps_its_rows(tmp_path: Path) -> None:
    model = ModelStore(tmp_path / "store").get(str(tiny_gguf(tmp_path / "qwen.gguf", "qwen2")))
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", model.folder))
    found = {tensor.name: np.array(tensor.data) for tensor in exported(adapter, model, tmp_path / "a.gguf").tensors}
    weights = load_file(adapter.folder / "adapter_model.safetensors")
    assert np.array_equal(found["blk.0.attn_q.weight.lora_b"], weights[f"{KEY}.lora_B.weight"].numpy())


def test_rank_stabilised_alpha_grows_by_the_root_of_the_rank(tiny: ModelFiles, tmp_path: Path) -> None:
    adapter = Adapter.at(tiny_adapter(tmp_path / "adapter", tiny.folder, use_rslora=True))
    reader = exported(adapter, tiny, tmp_path / "a.gguf")
    assert reader.fields["adapter.lora.alpha"].contents() == pytest.approx(8 * 4**0.5)


Change = Callable[[Path], None]


def configured(**settings: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return change


def with_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        weights = load_file(path)
        change(weights)
        path.unlink()
        save_file(weights, path)

    return apply


def changed(adapter: Adapter, folder: Path, change: Change) -> Adapter:
    shutil.copytree(adapter.folder, folder)
    change(folder)
    return Adapter.at(folder)


def test_half_precision_adapters_are_taken(tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path) -> None:
    def halve(weights: dict[str, torch.Tensor]) -> None:
        weights.update({key: weight.bfloat16() for key, weight in weights.items()})

    adapter = changed(adapters["home.v1"], tmp_path / "half", with_weights(halve))
    found = {tensor.name: np.array(tensor.data) for tensor in exported(adapter, tiny, tmp_path / "a.gguf").tensors}
    expected = load_file(adapter.folder / "adapter_model.safetensors")[f"{KEY}.lora_A.weight"].float().numpy()
    assert np.array_equal(found["blk.0.attn_q.weight.lora_a"], expected)


REFUSED = {
    "dora": (configured(use_dora=True), "with DoRA"),
    "modules": (configured(modules_to_save=["lm_head"]), "fully trained modules"),
    "bias": (configured(bias="lora_only"), "trained biases"),
    "own bias": (configured(lora_bias=True), "biases of its own"),
    "ranks": (configured(rank_pattern={"q_proj": 8}), "ranks that differ"),
    "alphas": (configured(alpha_pattern={"q_proj": 8}), "alphas that differ"),
    "both": (configured(use_dora=True, bias="all"), "DoRA and trained biases"),
    "transposed": (configured(fan_in_fan_out=True), "transposed weights"),
    "changed base": (configured(init_lora_weights="pissa_niter_4"), "changed base"),
    "method": (configured(peft_type="IA3"), "the method IA3"),
    "no rank": (configured(r=None), "not the configuration of a LoRA adapter"),
    "no JSON": (lambda folder: (folder / "adapter_config.json").write_text("{"), "not the configuration"),
    "magnitude": (
        with_weights(lambda weights: weights.update({f"{KEY}.lora_magnitude_vector": torch.ones(64)})),
        "no place for `.*lora_magnitude_vector`",
    ),
    "embedding": (
        with_weights(
            lambda weights: weights.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 9)})
        ),
        "no place for `.*lora_embedding_A`",
    ),
    "too many layers": (
        with_weights(
            lambda weights: weights.update({f"{KEY}.lora_A.weight".replace("layers.0", "layers.9"): torch.ones(4, 64)})
        ),
        "no place for `.*layers.9",
    ),
    "tied head": (
        with_weights(lambda weights: weights.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 64)})),
        "shares with its embeddings",
    ),
    "half a pair": (with_weights(lambda weights: weights.pop(f"{KEY}.lora_B.weight")), "belongs to another model"),
    "other shape": (
        with_weights(lambda weights: weights.update({f"{KEY}.lora_B.weight": torch.ones(32, 4)})),
        r"`.*q_proj.lora_B.weight` of shape \(32, 4\) does not fit the base \(\(64, 64\)\)",
    ),
    "nothing": (with_weights(lambda weights: weights.clear()), "holds no LoRA weights"),
    "no tensors": (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x" * 99), "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_llamacpp_cannot_express_is_refused_in_one_sentence(
    case: str, tiny: ModelFiles, adapters: dict[str, Adapter], tmp_path: Path
) -> None:
    change, why = REFUSED[case]
    adapter = changed(adapters["home.v1"], tmp_path / "adapter", change)
    assert tiny.gguf is not None
    with pytest.raises(ModelError, match=why) as caught:
        export_lora(adapter, tiny.gguf, tmp_path / "out" / "a.gguf")
    assert str(caught.value).startswith(str(adapter.folder)) and "\n" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


def test_an_architecture_of_unknown_layout_is_refused(adapters: dict[str, Adapter], tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "falcon.gguf", "falcon")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"architecture `falcon` cannot be converted .*kind: transformers"):
        export_lora(adapters["home.v1"], tmp_path / "falcon.gguf", tmp_path / "a.gguf")


def test_a_folder_that_is_no_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none: there is no such folder"):
        Adapter.at(tmp_path / "none")
    with pytest.raises(ModelError, match=r"adapter_config.json and adapter_model.safetensors missing"):
        Adapter.at(tmp_path)
