"""Fused parts: the same values and gradients as those they stand for, and nothing touched that they do not know."""

from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from wheelwork.core.training import fused
from wheelwork.core.training.fused import fuse

SHAPED: dict[str, Any] = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "num_key_value_heads": 2,
}  # fmt: skip
LINEAR = 2 * 7  # of two layers
NORMS, HEAD = 5, 1
UNDROPPED = {"resid_pdrop": 0, "attn_pdrop": 0, "embd_pdrop": 0}
TOKENS = torch.arange(12)[None] * 7 % 100


def adapted(config: Any, **lora: Any) -> Any:
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, weight in base.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, 1.0, 0.2)
    options = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | lora
    network = get_peft_model(base, LoraConfig(**options))
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return network.train()


def worth(network: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = network(input_ids=TOKENS).logits
    network.zero_grad()
    logits.float().sin().sum().backward()
    return logits, {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}


@pytest.fixture(params=["here", "onednn", "linear"])
def product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products as this processor gets them, and as each kind of processor does."""
    if request.param == "onednn" and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    chosen = {"onednn": fused._onednn, "linear": torch.nn.functional.linear}.get(request.param)
    if chosen is not None:
        monkeypatch.setattr(fused, "_product", lambda: chosen)


@pytest.mark.usefixtures("product")
@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (transformers.LlamaConfig(**SHAPED), 2 * LINEAR + NORMS + HEAD),  # each layer with its update, and as it is
        (transformers.Qwen2Config(**SHAPED), 2 * LINEAR + NORMS + HEAD),  # its q, k and v have a bias
        (transformers.GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4, **UNDROPPED), HEAD),
    ],
)
def test_values_and_gradients_stay_what_they_were(config: Any, parts: int) -> None:
    network = adapted(config)
    logits, gradients = worth(network)
    assert fuse(network) == parts
    found, fused = worth(network)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == fused.keys() and len(gradients) > 8
    for name, gradient in gradients.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def test_without_the_adapter_the_base_answers() -> None:
    network = adapted(transformers.LlamaConfig(**SHAPED))
    with network.disable_adapter():
        base = network(input_ids=TOKENS).logits
    fuse(network)
    with network.disable_adapter():
        torch.testing.assert_close(network(input_ids=TOKENS).logits, base, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(input_ids=TOKENS).logits, base, atol=1e-2)


@pytest.mark.parametrize("lora", [{"lora_dropout": 0.1}, {"use_dora": True}])
def test_updates_of_another_kind_are_left_alone(lora: dict[str, Any]) -> None:
    assert fuse(adapted(transformers.LlamaConfig(**SHAPED), **lora)) == LINEAR + NORMS + HEAD


def test_a_norm_that_only_has_the_name_is_left_alone() -> None:
    gemma = transformers.GemmaConfig(**SHAPED, head_dim=8)  # its norms multiply by 1 + weight
    assert fuse(adapted(gemma)) == 2 * LINEAR + HEAD


def test_what_is_saved_does_not_know_of_it() -> None:
    network = adapted(transformers.LlamaConfig(**SHAPED))
    before = list(network.state_dict())
    fuse(network)
    assert list(network.state_dict()) == before


def test_a_layer_whose_bias_learns_is_left_alone() -> None:
    network = adapted(transformers.Qwen2Config(**SHAPED), bias="all")  # of q, k and v
    assert fuse(network) == 2 * (LINEAR - 2 * 3) + NORMS + HEAD
