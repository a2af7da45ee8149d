"""Attention in its three forms: the same loss and gradients from each, as far as a CPU can tell."""

import logging
from collections.abc import Iterator

import pytest
import torch
import transformers
from wheelwork.core.training.attention import attend, block_mask, end_to_end, layout
from wheelwork.core.training.hardware import Choice, Hardware
from wheelwork.core.training.packing import alone, completion_logits, pack, packing_holds
from wheelwork.tests.core.training.test_packing import (
    ARCHITECTURES,
    SHAPED,
    UNPACKABLE,
    batch,
    loss_and_gradients,
    network,
)

SAID = Choice(chosen="", why="the test says so")
CPU = Hardware(device="cpu", dtype=SAID, attention=SAID, nf4=SAID)


def told(attention: str) -> Hardware:
    return CPU.model_copy(update={"attention": Choice(chosen=attention, why="the test says so")})


@pytest.fixture
def eager() -> Iterator[None]:
    """FlexAttention as it is written, not compiled; without gradients, which it has on CUDA only."""
    with torch.compiler.set_stance("force_eager"), torch.no_grad():
        yield


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_samples_end_to_end_have_the_loss_and_the_gradients_of_each_alone(name: str) -> None:
    model = network(ARCHITECTURES[name]()).train()
    packed, gradients = loss_and_gradients(model, [end_to_end(batch())])
    single, expected = loss_and_gradients(model, [alone(one) for one in batch()])
    assert packed == pytest.approx(single, rel=1e-5)
    for key, gradient in gradients.items():
        assert (gradient - expected[key]).norm() <= 1e-4 * expected[key].norm() + 1e-7, key


def test_samples_end_to_end_are_tried_on_the_architecture() -> None:
    assert packing_holds(network(ARCHITECTURES["llama"]()), 100, end_to_end)
    assert not packing_holds(network(UNPACKABLE["bloom"]()), 100, end_to_end)
    assert (layout("flash"), layout("flex"), layout("sdpa")) == (end_to_end, pack, pack)


def test_blocks_hold_what_the_mask_holds() -> None:
    mask = pack(batch())["attention_mask"]
    blocks = block_mask(mask)
    found = blocks.mask_mod(0, 0, torch.arange(mask.shape[-1])[:, None], torch.arange(mask.shape[-1])[None, :])
    assert torch.equal(found, mask[0, 0])
    assert blocks.shape == mask.shape


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_flex_attention_answers_as_the_mask_does(name: str, eager: None) -> None:
    model, row = network(ARCHITECTURES[name]()).eval(), pack(batch())
    expected = completion_logits(model, row)
    assert attend(model, told("flex")) == told("flex")
    assert model.config._attn_implementation == "flex_attention"
    assert torch.allclose(completion_logits(model, row), expected, atol=1e-5)
    assert packing_holds(model, 100)


def test_what_needs_no_change_is_left_as_it_is() -> None:
    model = network(transformers.LlamaConfig(**SHAPED))
    assert attend(model, told("sdpa")) == told("sdpa")
    assert not model._forward_pre_hooks


def test_an_architecture_that_does_not_take_it_keeps_its_own_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="wheelwork"):
        instead = attend(network(UNPACKABLE["bloom"]()), told("flex"))
    assert instead.attention == Choice(chosen="sdpa", why="with a mask, since this model does not take flex")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("wheelwork")]
    assert ours == [
        "this model does not take attention by flex; a mask is used instead"
    ]


def test_flash_attention_that_is_not_installed_is_not_used() -> None:
    assert attend(network(ARCHITECTURES["llama"]()), told("flash")).attention.chosen == "sdpa"
