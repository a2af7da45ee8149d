"""The champion beside the update that is trained: its answers, its start, and what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.keeping.champion import as_champion, read, start_from
from wheelwork.core.training.keeping.divergence import replay_losses
from wheelwork.core.training.keeping.former import refuse_misfit
from wheelwork.core.training.keeping.settings import Ewc
from wheelwork.core.training.losses import token_losses
from wheelwork.core.training.packing import Encoded, completion_logits, pack
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.training.keeping.toys import champion, network_of

ROW = pack([Encoded([5, 6, 7], [8, 9], weight=2.0), Encoded([5, 6, 10, 11], [12], weight=0.5)])
FROM_CHAMPION = Training(rank=4, alpha=8, start="champion")
EWC = Training(keep=(Ewc(),))


def served(base: ModelFiles, adapter: Adapter) -> torch.Tensor:
    """The champion's logits on ROW, as PEFT itself computes them."""
    model = AutoModelForCausalLM.from_pretrained(base.folder, local_files_only=True)
    with torch.no_grad():
        return completion_logits(PeftModel.from_pretrained(model, adapter.folder).eval(), ROW)


@pytest.mark.parametrize(
    "config", [{}, {"r": 2, "lora_alpha": 3}, {"use_rslora": True}], ids=["same", "rank", "rslora"]
)
def test_as_the_champion_it_answers_as_the_champion_does_and_then_as_itself(
    config: dict[str, Any], tiny: ModelFiles, tmp_path: Path
) -> None:
    was = champion(tmp_path / "champion", tiny, **config)
    network = network_of(tiny).train()
    with torch.no_grad():
        before = completion_logits(network, ROW)
        with as_champion(network, read(was, network)):
            found = completion_logits(network, ROW)
        after = completion_logits(network, ROW)
    torch.testing.assert_close(found, served(tiny, was), rtol=1e-4, atol=1e-4)
    assert torch.equal(before, after) and not torch.allclose(before, found, atol=0.1)
    assert network.training and all(w.requires_grad for name, w in network.named_parameters() if "lora_" in name)


@pytest.mark.parametrize("config", [{}, {"lora_alpha": 3}, {"use_rslora": True}], ids=["same", "alpha", "rslora"])
@pytest.mark.parametrize("targets", ["all-linear", ["embed_tokens", "q_proj"]], ids=["linear", "embeddings"])
def test_a_start_from_the_champion_answers_as_it_whatever_the_scale(
    config: dict[str, Any], targets: Any, tiny: ModelFiles, tmp_path: Path
) -> None:
    was = champion(tmp_path / "champion", tiny, target_modules=targets, **config)
    network = network_of(tiny, target_modules=targets)
    start_from(was, network)
    with torch.no_grad():
        torch.testing.assert_close(completion_logits(network, ROW), served(tiny, was), rtol=1e-4, atol=1e-4)


def test_at_the_champion_replay_is_learnt_as_ever_and_pulled_nowhere_else(tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny)
    network = network_of(tiny)
    start_from(was, network)
    kept = replay_losses(network, network, read(was, network), ROW, strength=5.0)
    torch.testing.assert_close(kept, token_losses(network, ROW), rtol=1e-4, atol=1e-5)
    kept.sum().backward()
    ours = [weight.grad.clone() for weight in network.parameters() if weight.requires_grad]
    network.zero_grad()
    token_losses(network, ROW).sum().backward()
    theirs = [weight.grad for weight in network.parameters() if weight.requires_grad]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_elsewhere_it_is_the_weighted_divergence_beside_the_cross_entropy(tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny)
    network = network_of(tiny)
    with torch.no_grad():
        ours, theirs = completion_logits(network, ROW).softmax(-1), served(tiny, was).softmax(-1)
        divergence = (theirs * (theirs / ours).log()).sum(-1)
        expected = token_losses(network, ROW) + 0.5 * divergence * ROW["weights"]
    losses = replay_losses(network, network, read(was, network), ROW, strength=0.5)
    assert divergence.min() > 1e-3
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-4)
    losses.sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in network.parameters() if weight.requires_grad)


# what does not fit


def test_a_champion_of_another_base_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny)
    with pytest.raises(ModelError, match=r"is an adapter of `tiny.*`, not of `larger`; set `train.start: scratch`"):
        refuse_misfit(was, "larger", FROM_CHAMPION)


def test_going_on_from_another_rank_is_one_sentence_and_being_held_to_it_is_none(
    tiny: ModelFiles, tmp_path: Path
) -> None:
    was = champion(tmp_path / "champion", tiny, r=2)
    with pytest.raises(ModelError, match=r"has rank 2 and `train.rank` is 4, .* set `train.rank: 2` or"):
        refuse_misfit(was, tiny.name, FROM_CHAMPION)
    refuse_misfit(was, tiny.name, EWC)


@pytest.mark.parametrize(("said", "value"), [("use_dora", True), ("rank_pattern", {"q_proj": 2})])
def test_a_champion_that_is_no_product_is_one_sentence(said: str, value: Any, tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny)
    path = was.folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {said: value}))
    with pytest.raises(ModelError, match=r"`train.keep` cannot hold to a champion with (DoRA|ranks)"):
        refuse_misfit(was, tiny.name, EWC)


def test_other_layers_are_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny)
    fewer = network_of(tiny, target_modules=["q_proj", "v_proj"])
    for use in (read, start_from):
        with pytest.raises(ModelError, match=r"differ in which layers have an update, first in `model\.layers\.0\."):
            use(was, fewer)


def test_another_shape_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny, r=2)
    with pytest.raises(ModelError, match="has another shape than the layer here"):
        start_from(was, network_of(tiny))


def test_a_network_with_dora_is_not_held_to_anything(tiny: ModelFiles, tmp_path: Path) -> None:
    was = champion(tmp_path / "champion", tiny)
    with pytest.raises(ModelError, match=r"not one with DoRA; turn one of them off"):
        read(was, network_of(tiny, use_dora=True))
