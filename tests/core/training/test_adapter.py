"""The ways to train an adapter: each learns, says in its configuration what it is, and is served where it can be."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.gguf_lora import export_lora
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.adapter import NF4_NOTE, loraplus, with_adapter
from wheelwork.core.training.hardware import Choice, Hardware, choose, machine
from wheelwork.core.training.layout import fitted
from wheelwork.core.training.losses import token_losses
from wheelwork.core.training.packing import Encoded
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.engines.served import trained as trained_network
from wheelwork.tests.core.training.toys import TRAINING, train

MASK = Choice(chosen="sdpa", why="the test says so")
PLAIN = TRAINING.model_copy(update={"dropout": 0.0})


def plain(**changes: Any) -> Training:
    return Training.model_validate(PLAIN.model_dump() | changes)


@pytest.fixture(scope="module")
def here() -> Hardware:
    return choose(machine(), PLAIN)


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({}, {"use_rslora": False, "use_dora": False}),
        ({"rslora": True}, {"use_rslora": True}),
        ({"dora": True}, {"use_dora": True}),
        ({"lora_plus": 8.0, "learning_rate": 5e-3}, {"lora_alpha": 8}),
        ({"quantize": "nf4"}, {"r": 4}),
        ({"quantize": "nf4", "dora": True, "rslora": True, "lora_plus": 4.0}, {"use_dora": True, "use_rslora": True}),
        ({"gradient_checkpointing": True}, {"r": 4}),
    ],
    ids=["LoRA", "rsLoRA", "DoRA", "LoRA+", "QLoRA", "all", "checkpointed"],
)
def test_every_method_learns_and_says_what_it_is(
    changes: dict[str, Any], written: dict[str, Any], tiny: ModelFiles, tmp_path: Path
) -> None:
    trained = train(tiny, tmp_path, settings=plain(**changes))
    assert trained.final_loss < 0.8 * trained.losses[0]
    assert trained.packed
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert written.items() <= config.items()
    assert trained.notes == ((NF4_NOTE,) if "quantize" in changes else ())
    assert [note.split(":")[0] for note in trained.hardware] == ["dtype float32", "attention by_piece"]


def test_checkpointed_gradients_are_the_same(tiny: ModelFiles, tmp_path: Path) -> None:
    kept = train(tiny, tmp_path / "kept", settings=PLAIN)
    again = train(tiny, tmp_path / "again", settings=plain(gradient_checkpointing=True))
    assert again.losses == pytest.approx(kept.losses, rel=1e-5)


def test_a_dora_adapter_is_refused_by_the_converter_too(tiny: ModelFiles, tmp_path: Path) -> None:
    train(tiny, tmp_path, settings=plain(dora=True))
    assert tiny.gguf is not None
    with pytest.raises(ModelError, match=r"llama\.cpp cannot serve an adapter with DoRA"):
        export_lora(Adapter.at(tmp_path / "adapter"), tiny.gguf, tmp_path / "adapter.gguf")


def test_b_learns_faster_than_a(tiny: ModelFiles, here: Hardware) -> None:
    settings = plain(lora_plus=16.0, weight_decay=0.1, learning_rate=1e-4)
    network = with_adapter(tiny, settings, here)
    names = {id(weight): name for name, weight in network.named_parameters()}
    rates = {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in loraplus(network, settings).param_groups
        for weight in group["params"]
    }
    assert len(rates) == 28  # A and B of fourteen layers
    assert {rate for name, rate in rates.items() if "lora_A" in name} == {(1e-4, 0.1)}
    assert {rate for name, rate in rates.items() if "lora_B" in name} == {(16.0 * 1e-4, 0.1)}


def test_a_faster_b_is_what_is_trained(tiny: ModelFiles, tmp_path: Path) -> None:
    runs = [train(tiny, tmp_path / str(ratio), settings=plain(lora_plus=ratio)) for ratio in (1.0, 4.0)]
    assert runs[0].losses[0] == runs[1].losses[0]
    assert runs[0].losses[2] != pytest.approx(runs[1].losses[2], rel=1e-3)


def test_nf4_rounds_the_layers_and_leaves_the_rest(tiny: ModelFiles, here: Hardware) -> None:
    network = with_adapter(tiny, plain(quantize="nf4"), here)
    kinds = {
        name.split(".")[-2] if name.endswith("base_layer") else name.split(".")[-1]: module
        for name, module in network.named_modules()
        if hasattr(module, "weight") and "lora_" not in name
    }
    assert type(kinds["q_proj"]).__name__ == "Linear4bit"
    assert kinds["q_proj"].weight.quant_state.nested  # double quantisation
    assert kinds["q_proj"].weight.quant_state.quant_type == "nf4"
    assert kinds["lm_head"].weight.dtype == torch.float32
    assert all(weight.dtype == torch.float32 for weight in network.parameters() if weight.requires_grad)


def test_an_nf4_adapter_is_served_on_the_base_as_it_is(tiny: ModelFiles, tmp_path: Path) -> None:
    train(tiny, tmp_path, settings=plain(quantize="nf4"))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert "quantization_config" not in config
    trained_network(tiny, Adapter.at(tmp_path / "adapter"))  # loads beside float32 weights


def test_a_base_in_bfloat16_has_an_adapter_in_float32_and_packs_within_its_rounding(
    tiny: ModelFiles, here: Hardware
) -> None:
    halved = here.model_copy(update={"dtype": Choice(chosen="bfloat16", why="a GPU would"), "attention": MASK})
    network = with_adapter(tiny, PLAIN, halved)
    assert {weight.dtype for weight in network.parameters() if not weight.requires_grad} == {torch.bfloat16}
    assert {weight.dtype for weight in network.parameters() if weight.requires_grad} == {torch.float32}
    layout, found = fitted(network, halved, 100, "tiny")
    assert found == halved
    batch = [Encoded([5, 6, 7, 8], [9, 10]), Encoded([5, 6, 7, 9], [11])]
    loss = torch.cat([token_losses(network, row) for row in layout(batch)]).mean()
    loss.backward()
    learnt = [weight.grad for name, weight in network.named_parameters() if "lora_B" in name]
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in learnt)
    assert any(gradient.any() for gradient in learnt if gradient is not None)


def test_nf4_is_never_laid_out_for_inference_in_a_training(tiny: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)  # as on such a processor
    settings = plain(quantize="nf4")
    network = with_adapter(tiny, settings, choose(machine(), settings))
    told = [one.support_avx512bf16_for_cpu for one in network.modules() if hasattr(one, "support_avx512bf16_for_cpu")]
    assert told and not any(told)
