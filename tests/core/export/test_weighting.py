"""Sums of adapters: exact where they can be, the same for the same seed, refused where they have no meaning."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ConfigError, ModelError
from wheelwork.core.export.weighting import METHODS, Method, Recipe, check_method, merge_adapters
from wheelwork.core.models.store import ModelFiles
from wheelwork.tests.tiny import tiny_adapter


def made(tiny: ModelFiles, folder: Path, seed: int, **config: Any) -> Adapter:
    return Adapter.at(tiny_adapter(folder, tiny.folder, seed=seed, **config))


def updates(adapter: Adapter) -> dict[str, torch.Tensor]:
    """The update scale · B · A of every layer."""
    config = json.loads((adapter.folder / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config["use_rslora"] else config["r"])
    weights = load_file(adapter.folder / "adapter_model.safetensors")
    return {
        name: scale * weights[name.replace("lora_A", "lora_B")] @ weight
        for name, weight in weights.items()
        if "lora_A" in name
    }


def test_cat_is_the_sum_itself(tiny: ModelFiles, tmp_path: Path) -> None:
    one = made(tiny, tmp_path / "one", 1, use_rslora=True)
    other = made(tiny, tmp_path / "other", 2, r=6, lora_alpha=3)
    both = merge_adapters([one, other], tiny, Recipe("cat", (0.7, -0.3)), tmp_path / "both")
    first, second, summed = updates(one), updates(other), updates(both)
    assert summed.keys() == first.keys()
    for name, update in summed.items():
        assert torch.allclose(update, 0.7 * first[name] - 0.3 * second[name], atol=1e-5)


def test_linear_is_the_nearest_of_its_rank(tiny: ModelFiles, tmp_path: Path) -> None:
    one, other = made(tiny, tmp_path / "one", 1), made(tiny, tmp_path / "other", 2)
    both = merge_adapters([one, other], tiny, Recipe("linear", (1.0, 1.0)), tmp_path / "both")
    first, second, summed = updates(one), updates(other), updates(both)
    for name, update in summed.items():
        whole = first[name] + second[name]
        left = torch.linalg.svdvals(whole)[4:]
        assert torch.linalg.norm(whole - update) == pytest.approx(float(torch.linalg.norm(left)), rel=1e-3)
        assert int(torch.linalg.matrix_rank(update, rtol=1e-4)) == 4


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bytes(tiny: ModelFiles, tmp_path: Path, method: Method) -> None:
    parts = [made(tiny, tmp_path / f"part-{seed}", seed) for seed in (1, 2, 3)]
    recipes = [Recipe(method, density=0.6, seed=seed) for seed in (0, 0, 1)]
    digests = [
        merge_adapters(parts, tiny, recipe, tmp_path / f"{method}-{number}").digest
        for number, recipe in enumerate(recipes)
    ]
    assert digests[0] == digests[1]
    assert (digests[0] == digests[2]) == (not method.startswith("dare"))


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_with_itself_is_itself(tiny: ModelFiles, tmp_path: Path, method: Method) -> None:
    one = made(tiny, tmp_path / "one", 1, use_rslora=True)
    both = updates(merge_adapters([one, one], tiny, Recipe(method, density=1.0), tmp_path / method))
    for name, update in updates(one).items():
        assert torch.allclose(both[name], update, atol=1e-4)


def test_ties_leaves_out_what_disagrees(tiny: ModelFiles, tmp_path: Path) -> None:
    one = made(tiny, tmp_path / "one", 1)
    against = merge_adapters([one, one], tiny, Recipe("cat", (0.0, -1.0)), tmp_path / "against")
    both = updates(merge_adapters([one, against], tiny, Recipe("ties", (1.0, 0.5), density=1.0), tmp_path / "both"))
    summed = updates(merge_adapters([one, against], tiny, Recipe("linear", (1.0, 0.5)), tmp_path / "sum"))
    for name, update in updates(one).items():
        assert torch.allclose(summed[name], 0.5 * update, atol=1e-4)
        assert torch.linalg.norm(both[name]) > torch.linalg.norm(summed[name])


REFUSED: dict[str, tuple[dict[str, Any], Recipe, str]] = {
    "targets": ({"target_modules": ["q_proj"]}, Recipe(), r"changes other layers \(q_proj\)"),
    "dora": ({"use_dora": True}, Recipe(), "with DoRA has no weighted sum"),
    "bias": ({"bias": "lora_only"}, Recipe(), "trained biases"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_adapters_that_do_not_go_together_are_refused(case: str, tiny: ModelFiles, tmp_path: Path) -> None:
    config, recipe, why = REFUSED[case]
    parts = [made(tiny, tmp_path / "one", 1), made(tiny, tmp_path / "other", 2, **config)]
    with pytest.raises(ModelError, match=why):
        merge_adapters(parts, tiny, recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_must_be_one_for_each(tiny: ModelFiles, adapter: Adapter, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 weights for 2 adapters"):
        merge_adapters([adapter, adapter], tiny, Recipe(weights=(1, 2, 3)), tmp_path / "out")
    with pytest.raises(ConfigError, match="two or more"):
        merge_adapters([adapter], tiny, Recipe(), tmp_path / "out")


def test_an_unknown_method_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean `ties`"):
        check_method("tie")
