"""The ways in which a batch is laid out and attended: the same loss from each, as far as a CPU can tell."""

import warnings
from collections.abc import Iterator

import pytest
import torch
import transformers
from wheelwork.core.training.hardware import Choice, Hardware
from wheelwork.core.training.layout import attend, block_mask, end_to_end, fitted, one_by_one
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
    with torch.compiler.set_stance("force_eager"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is slow
        yield


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("wheelwork")]


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
    layout, hardware = fitted(model, told("flex"), 100, name)
    assert hardware == told("flex")
    assert model.config._attn_implementation == "flex_attention"
    (made,) = layout(batch())
    assert torch.allclose(completion_logits(model, made), expected, atol=1e-5)


@pytest.mark.parametrize("attention", ["by_piece", "sdpa"])
def test_the_attention_that_was_chosen_is_used(attention: str, caplog: pytest.LogCaptureFixture) -> None:
    model = network(transformers.LlamaConfig(**SHAPED))
    layout, hardware = fitted(model, told(attention), 100, "llama")
    assert hardware == told(attention)
    assert model.config._attn_implementation == attention
    (made,) = layout(batch())
    assert ("blocks" in made) == (attention == "by_piece")
    assert not warned(caplog)


def test_attention_with_more_than_a_softmax_is_not_by_piece() -> None:
    """The sinks of GPT-OSS would be passed over, in what is expected and in what is found alike."""
    model = network(transformers.GptOssConfig(**SHAPED, head_dim=8, num_local_experts=2, num_experts_per_tok=1))
    assert attend(model, "by_piece") is None


def test_what_was_tried_is_undone() -> None:
    model = network(transformers.LlamaConfig(**SHAPED))
    undo = attend(model, "flex")
    assert undo is not None and model._forward_pre_hooks
    undo()
    assert model.config._attn_implementation == "sdpa" and not model._forward_pre_hooks


def test_flash_attention_that_is_not_installed_is_a_mask_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    layout, hardware = fitted(network(ARCHITECTURES["llama"]()), told("flash"), 100, "llama")
    assert hardware.attention == Choice(chosen="sdpa", why="this model does not take flash")
    (made,) = layout(batch())
    assert "attention_mask" in made
    assert warned(caplog) == ["llama does not take attention by flash; a mask is used instead"]


@pytest.mark.parametrize("name", UNPACKABLE)
def test_an_architecture_that_takes_no_packed_rows_falls_back_loudly(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout, hardware = fitted(network(UNPACKABLE[name]()), told("by_piece"), 100, name)
    assert layout is one_by_one
    assert hardware.attention.chosen == "its own"
    assert len(layout(batch())) == len(batch())
    assert warned(caplog) == [f"{name} does not take packed samples; it is trained on one at a time, which is slower"]
