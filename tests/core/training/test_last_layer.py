"""A last layer that passes over tokens nobody asks about says and learns the same as one that does not."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from wheelwork.core.training.last_layer import spare_last_layer
from wheelwork.core.training.packing import completion_logits, pack
from wheelwork.tests.core.training.test_packing import ARCHITECTURES, SHAPED, SIZES, UNPACKABLE, batch, network

MORE: dict[str, Any] = {
    "qwen3": lambda: transformers.Qwen3Config(**SHAPED, head_dim=8),  # norms of queries and keys
    # norms behind each part
    "gemma2": lambda: transformers.Gemma2Config(**SHAPED, head_dim=8, query_pre_attn_scalar=8),
    "mixtral": lambda: transformers.MixtralConfig(**SHAPED, num_local_experts=3, num_experts_per_tok=2),
    "falcon": lambda: transformers.FalconConfig(**SIZES, bias=False, new_decoder_architecture=False),
}
KNOWN = ARCHITECTURES | MORE
PARTS = {"llama": 3, "qwen2": 3, "gpt2": 2, "qwen3": 3, "gemma2": 3, "mixtral": 3, "falcon": 1}


def adapted(name: str) -> Any:
    model = network(KNOWN[name]())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))


@pytest.mark.parametrize("name", KNOWN)
def test_gradients_stay_what_they_were(name: str) -> None:
    whole, spared, row = adapted(name), adapted(name), pack([*batch(), batch()[0]])
    assert spare_last_layer(spared) == PARTS[name]
    read: list[int] = []
    looked_at = re.compile(r"(o_proj|c_proj|dense_4h_to_h)\.lora_A\.default$")
    *_, inner = (module for key, module in spared.named_modules() if looked_at.search(key))
    inner.register_forward_hook(lambda module, given, out: read.append(given[0].shape[1]))
    for model in (whole, spared):
        losses = F.cross_entropy(completion_logits(model, row), row["targets"], reduction="none")
        (losses * row["weights"]).sum().backward()
    for (key, weight), other in zip(spared.named_parameters(), whole.parameters(), strict=True):
        if weight.requires_grad:
            assert (weight.grad - other.grad).norm() <= 1e-5 * other.grad.norm() + 1e-8, key
    assert set(read) == {len(row["logits_to_keep"].unique())}


def test_without_tokens_to_keep_all_are_computed() -> None:
    spared, ids = adapted("llama"), torch.arange(9)[None]
    expected = spared(input_ids=ids).logits
    spare_last_layer(spared)
    with pytest.raises((IndexError, RuntimeError)):
        spared(input_ids=ids, logits_to_keep=torch.tensor([99]))
    assert torch.allclose(spared.get_base_model()(input_ids=ids).logits, expected, atol=1e-6)  # that is forgotten
    assert torch.allclose(spared(input_ids=ids).logits, expected, atol=1e-6)
    two = ids.expand(2, -1)
    assert torch.allclose(
        spared(input_ids=two, logits_to_keep=torch.tensor([4])).logits[0, 0], expected[0, 4], atol=1e-6
    )


@pytest.mark.parametrize("name", UNPACKABLE)
def test_another_architecture_is_left_as_it_is(name: str) -> None:
    model, ids = network(UNPACKABLE[name]()).eval(), torch.arange(9)[None]
    expected = model(input_ids=ids).logits
    spare_last_layer(model)
    assert torch.allclose(model(input_ids=ids).logits, expected, atol=1e-6)
    found = model(input_ids=ids, logits_to_keep=torch.tensor([2, 8])).logits
    assert torch.allclose(found, expected[:, [2, 8]], atol=1e-5)


def test_what_is_computed_twice_is_computed_whole() -> None:
    model = adapted("llama")
    model.gradient_checkpointing_enable()
    assert spare_last_layer(model) == 0


def test_a_part_that_looks_at_its_neighbours_is_not_spared() -> None:
    class Neighbours(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + x.roll(1, 1))

    model = network(ARCHITECTURES["llama"]())
    model.model.layers[-1].mlp = Neighbours(32, 32)
    assert spare_last_layer(model) == 0
    last = model.model.layers[-1]
    assert not any("forward" in vars(part) for part in (last.mlp, last.self_attn.q_proj, last.self_attn.o_proj))
