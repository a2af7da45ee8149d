"""The losses of a training: rehearsal pulls nowhere at the start, and back to the base later."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from wheelwork.core.engines.base import Adapter
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.fused import fuse
from wheelwork.core.training.layout import Layout, end_to_end, one_by_one
from wheelwork.core.training.losses import Base, head_is_last, token_losses
from wheelwork.core.training.packing import Encoded, alone, completion_logits, encode, pack
from wheelwork.core.training.steps import collating
from wheelwork.tests.core.engines.served import log_probabilities
from wheelwork.tests.core.engines.served import trained as trained_network
from wheelwork.tests.core.training.toys import TRAINING, rehearsal, sample, train

SAMPLES = [Encoded([5, 6, 7], [8, 9], weight=2.0), Encoded([5, 6, 10, 11], [12], weight=0.5)]
ROW = pack(SAMPLES)
WEIGHTS = torch.tensor([2.0, 2.0, 0.5])


@pytest.fixture
def network(tiny: ModelFiles) -> Any:
    """The tiny model with a fresh adapter, which changes nothing yet, and with dropout on both."""
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny.folder, attention_dropout=0.5)
    return get_peft_model(base, LoraConfig(r=4, lora_dropout=0.5, target_modules="all-linear", task_type="CAUSAL_LM"))


def adapted(network: Any) -> Any:
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return network.eval()


def kept(*samples: Encoded) -> Any:
    """A row of rehearsal alone."""
    return pack([replace(one, rehearsal=True) for one in samples])


def test_a_fresh_adapter_is_pulled_nowhere(network: Any) -> None:
    losses = token_losses(network.eval(), kept(*SAMPLES), base=Base(network, one_by_one))
    losses.sum().backward()
    assert losses.abs().max() < 1e-6
    assert all(weight.grad.abs().max() < 1e-6 for weight in network.parameters() if weight.requires_grad)


def test_keeping_is_the_weighted_divergence_from_the_base(network: Any) -> None:
    adapted(network)
    with torch.no_grad():
        ours = completion_logits(network, ROW).softmax(-1)
        with network.disable_adapter():
            base = completion_logits(network, ROW).softmax(-1)
    expected = (base * (base / ours).log()).sum(-1) * WEIGHTS
    losses = token_losses(network, kept(*SAMPLES), base=Base(network, one_by_one))
    assert expected.min() > 1e-3
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-6)
    losses.sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in network.parameters() if weight.requires_grad)


def test_the_base_is_read_without_dropout_and_the_model_is_left_as_it_was(network: Any) -> None:
    heard: list[bool] = []
    network.get_base_model().model.norm.register_forward_hook(lambda module, *_: heard.append(module.training))
    token_losses(network.train(), kept(*SAMPLES), base=Base(network, one_by_one))
    assert heard == [False, False, True], "the base's for each sample, then one"
    assert network.training and not network.base_model.model.model.layers[0].self_attn.q_proj.disable_adapters


def test_what_is_learnt_and_rehearsal_share_a_row_and_are_told_apart(network: Any) -> None:
    adapted(network)
    learnt, rehearsed = SAMPLES[0], replace(SAMPLES[1], rehearsal=True)
    row, base = pack([learnt, rehearsed]), Base(network, one_by_one)
    apart = [token_losses(network, pack([learnt])), token_losses(network, kept(rehearsed), base=base)]
    torch.testing.assert_close(token_losses(network, row, base=base), torch.cat(apart), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("with_head", [True, False])
def test_a_batch_with_rehearsal_has_the_same_loss_in_every_layout(network: Any, with_head: bool) -> None:
    adapted(network)
    head = network.get_output_embeddings() if with_head else None
    rehearsed = [replace(one, rehearsal=True) for one in SAMPLES]
    batch = [rehearsed[0], Encoded([5, 6, 7], [13]), rehearsed[1], Encoded([5, 6, 14], [9, 8, 7], weight=3.0)]
    one_process = SimpleNamespace(process_index=0, world_size=1)
    found = []
    layouts: list[Layout] = [lambda given: [pack(given)], lambda given: [end_to_end(given)], one_by_one]
    for layout in layouts:
        rows = collating(layout, one_process)(batch)
        assert sum(one.rehearsal for row in rows["learn"] for one in row["samples"]) == 2 and rows["replay"] == []
        base = Base(network, layout, head)
        found.append(torch.cat([token_losses(network, row, head, base) for row in rows["learn"]]))
    assert found[0].min() > 1e-3
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-5)
    (alone_,) = collating(one_by_one, one_process)(rehearsed[:1])["learn"]
    assert token_losses(network, alone_, head, Base(network, one_by_one, head)).shape == (2,)


def test_the_base_is_asked_once_about_each_sample(network: Any) -> None:
    adapted(network)
    head = network.get_output_embeddings()
    base, passes = Base(network, one_by_one, head), list[int]()
    network.get_base_model().model.norm.register_forward_hook(lambda *_: passes.append(1))
    rehearsed = [replace(one, rehearsal=True) for one in SAMPLES]

    def asked(*samples: Encoded) -> torch.Tensor:
        logits = base(samples)
        assert logits is not None
        return logits(slice(0, sum(len(one.completion) for one in samples)))

    first = asked(*rehearsed)
    assert len(passes) == 2
    again = torch.cat([asked(rehearsed[1]), asked(rehearsed[0])])
    assert len(passes) == 2
    held = [states.untyped_storage().nbytes() for states in base._known.values()]
    assert held == [len(one.completion) * head.weight.shape[1] * 4 for one in SAMPLES], "and not of the prompts"
    torch.testing.assert_close(again, first[[2, 0, 1]])
    with torch.no_grad(), network.disable_adapter():
        torch.testing.assert_close(first[:2], completion_logits(network, alone(SAMPLES[0])))


def test_where_others_may_wait_for_it_the_base_reads_something_in_every_step(network: Any) -> None:
    passes: list[int] = []
    network.get_base_model().model.norm.register_forward_hook(lambda *_: passes.append(1))
    assert Base(network, one_by_one)(SAMPLES) is None and not passes
    assert Base(network, one_by_one, in_step=True)(SAMPLES) is None and passes


def test_learning_is_the_weighted_cross_entropy(network: Any) -> None:
    adapted(network)
    with torch.no_grad():
        expected = F.cross_entropy(completion_logits(network, ROW), torch.tensor([8, 9, 12]), reduction="none")
        torch.testing.assert_close(token_losses(network, ROW), expected * WEIGHTS)


@pytest.mark.parametrize("fresh", [True, False])
def test_an_output_layer_in_parts_gives_the_same(network: Any, fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fresh:
        adapted(network)
    network.eval()
    assert head_is_last(network)
    head = network.get_output_embeddings()
    row = pack([SAMPLES[0], replace(SAMPLES[0], prompt=[5, 6, 13]), replace(SAMPLES[1], rehearsal=True)])
    wanted = [token_losses(network, ROW), token_losses(network, row, base=Base(network, one_by_one))]
    torch.cat(wanted).sum().backward()
    gradients = [weight.grad.clone() for weight in network.parameters() if weight.requires_grad]
    network.zero_grad()
    monkeypatch.setattr("wheelwork.core.training.losses.NUMBERS", 2 * head.weight.shape[0])  # 2 of the 3 tokens at once
    found = [token_losses(network, ROW, head), token_losses(network, row, head, Base(network, one_by_one, head))]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
    torch.cat(found).sum().backward()
    again = [weight.grad for weight in network.parameters() if weight.requires_grad]
    torch.testing.assert_close(again, gradients, rtol=1e-4, atol=5e-6)


def test_an_output_layer_keeps_what_it_computes_with(network: Any) -> None:
    head = network.get_output_embeddings()
    assert fuse(network)
    own = head.forward
    assert head_is_last(network)
    token_losses(network, ROW, head)
    assert head.forward is own


def test_a_model_that_caps_its_answers_has_no_last_layer() -> None:
    config = transformers.Gemma2Config(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=16, final_logit_softcapping=0.01,
    )  # fmt: skip
    assert not head_is_last(transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def gradients(network: Any, batch: list[Encoded]) -> list[torch.Tensor]:
    """Of the loss that a step has, the mean over the completion tokens."""
    network.zero_grad()
    token_losses(network, pack(batch)).mean().backward()
    return [weight.grad.clone() for weight in network.parameters() if weight.requires_grad]


def test_a_sample_of_weight_0_has_no_gradient(network: Any) -> None:
    adapted(network)
    one = Encoded([5, 6, 7], [8, 9])
    assert all(not gradient.any() for gradient in gradients(network, [Encoded([5, 6, 7], [8, 9], weight=0.0)]))
    beside = [gradients(network, [one, Encoded([5, 6, 10], [word], weight=0.0)]) for word in (11, 12)]
    assert all(map(torch.equal, *beside)), "what it answers is not learnt"
    alone = gradients(network, [one])
    for with_it, without in zip(beside[0], alone, strict=True):  # it still counts among the tokens of the mean
        torch.testing.assert_close(with_it * 3 / 2, without, rtol=1e-3, atol=1e-6)


def test_weights_of_1_change_no_bit(network: Any) -> None:
    adapted(network)
    batch = [Encoded([5, 6, 7], [8, 9]), Encoded([5, 6, 10, 11], [12])]
    row = pack(batch)
    network.zero_grad()
    plain = F.cross_entropy(completion_logits(network, row).float(), row["targets"], reduction="none")
    assert torch.equal(token_losses(network, row), plain)
    plain.mean().backward()
    unweighted = [weight.grad.clone() for weight in network.parameters() if weight.requires_grad]
    assert all(map(torch.equal, gradients(network, batch), unweighted))


def test_a_training_with_rehearsal_stays_nearer_to_the_base_there(tiny: ModelFiles, tmp_path: Path) -> None:
    lesson = [sample(f"message {n}", "wifi") for n in range(4)]
    settings = TRAINING.model_copy(update={"epochs": 6})

    def divergence(name: str, given: list[Any]) -> float:
        train(tiny, tmp_path / name, samples=given, settings=settings)
        adapter = Adapter.at(tmp_path / name / "adapter")
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.folder, local_files_only=True)
        (one,), _ = encode([rehearsal("and you?", "wifi")], tokenizer, 1024)
        network = trained_network(tiny, adapter)
        ours = torch.as_tensor(log_probabilities(network, one.prompt))[-1]
        with network.disable_adapter():
            base = torch.as_tensor(log_probabilities(network, one.prompt))[-1]
        return float((base.exp() * (base - ours)).sum())

    assert divergence("with", [*lesson, *[rehearsal("and you?", "wifi")] * 4]) < 0.5 * divergence("without", lesson)


def test_a_weight_scales_the_gradient(network: Any) -> None:
    adapted(network)
    plain, doubled = (gradients(network, [Encoded([5, 6, 7], [8, 9], weight=weight)]) for weight in (1.0, 4.0))
    for one, other in zip(plain, doubled, strict=True):
        torch.testing.assert_close(4 * one, other)
