"""The embedded model on packed rows, with all that makes them quick: the loss and gradients of each sample alone."""

import pytest
import torch
from transformers import AutoTokenizer
from wheelwork.core.loops import load_loop
from wheelwork.core.models.store import ModelStore
from wheelwork.core.naming import find_loop
from wheelwork.core.training.adapter import with_adapter
from wheelwork.core.training.fused import fuse
from wheelwork.core.training.hardware import choose, machine
from wheelwork.core.training.last_layer import spare_last_layer
from wheelwork.core.training.layout import fitted
from wheelwork.core.training.losses import head_is_last, token_losses
from wheelwork.core.training.packing import Row, alone, encode
from wheelwork.core.training.settings import Training


@pytest.mark.model
def test_a_packed_row_has_the_loss_and_the_gradients_of_its_samples_alone() -> None:
    base, settings = ModelStore().get("smollm2-135m-instruct"), Training(rank=4, dtype="float32")
    samples = load_loop(find_loop("home_broadband")).material.seed_samples()[::20]
    lessons, _ = encode(samples, AutoTokenizer.from_pretrained(base.folder, local_files_only=True), 512)
    hardware = choose(machine(), settings)
    torch.manual_seed(0)
    network = with_adapter(base, settings, hardware).eval()
    learnt = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    for name, weight in learnt.items():
        if "lora_B" in name:  # zeros teach A nothing
            torch.nn.init.normal_(weight, std=0.02)

    def learns(rows: list[Row], head: torch.nn.Module | None = None) -> tuple[float, dict[str, torch.Tensor]]:
        loss = torch.cat([token_losses(network, row, head) for row in rows]).mean()
        return loss.item(), dict(zip(learnt, torch.autograd.grad(loss, list(learnt.values())), strict=True))

    expected, gradients = learns([alone(one) for one in lessons])
    fused, spared = fuse(network), spare_last_layer(network)
    layout, hardware = fitted(network, hardware, 512, base.name)
    assert fused > 200 and spared == 3 and hardware.attention.chosen == "by_piece" and head_is_last(network)
    (row,) = layout(lessons)
    assert row["input_ids"].shape[1] < 0.6 * sum(len(one.read) for one in lessons)
    loss, found = learns([row], network.get_output_embeddings())
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, gradient in gradients.items():
        assert (found[name] - gradient).norm() <= 1e-4 * gradient.norm(), name
