"""Training on from the champion: from its weights, and only where they fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.control.step import Step
from wheelwork.tests.core.training.toys import TRAINING, samples, train

STILL = TRAINING.model_copy(update={"learning_rate": 1e-12})


@pytest.fixture(scope="module")
def champion(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    train(tiny, folder, settings=TRAINING.model_copy(update={"epochs": 8}))
    return folder / "adapter"


def test_it_goes_on_from_the_weights_of_the_champion(champion: Path, tiny: ModelFiles, tmp_path: Path) -> None:
    fresh: list[Step] = []
    on: list[Step] = []
    train(tiny, tmp_path / "fresh", on_step=fresh.append)
    train(tiny, tmp_path / "on", settings=STILL, start=champion, on_step=on.append)
    assert on[0].loss < 0.6 * fresh[0].loss
    before, after = (
        load_file(place / "adapter_model.safetensors") for place in (champion, tmp_path / "on" / "adapter")
    )
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)


def test_another_start_is_another_training(champion: Path, tiny: ModelFiles, tmp_path: Path) -> None:
    class Stopped(BaseException):
        pass

    def stop(step: Step) -> None:
        if step.step == 5:
            raise Stopped

    with pytest.raises(Stopped):
        train(tiny, tmp_path, start=champion, on_step=stop)
    assert train(tiny, tmp_path).resumed_at == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 2}, "the champion has rank 4 and this training 2; set the same, or train from nothing with"),
        ({"alpha": 16}, "the champion has alpha 8 and this training 16"),
        ({"targets": ("q_proj",)}, "the champion has an update on other layers than `train.targets`"),
    ],
)
def test_a_champion_that_does_not_fit_is_one_sentence(
    settings: dict[str, Any], said: str, champion: Path, tiny: ModelFiles, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=said):
        train(tiny, tmp_path, settings=TRAINING.model_copy(update=settings), start=champion, samples=samples(4))


def test_an_adapter_of_another_base_is_one_sentence(champion: Path, tiny: ModelFiles, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((champion / "adapter_config.json").read_text()) | {"base_model_name_or_path": "llama"}
    (other / "adapter_config.json").write_text(json.dumps(config))
    (other / "adapter_model.safetensors").write_bytes((champion / "adapter_model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="an adapter of llama, not of tiny; train from nothing"):
        train(tiny, tmp_path, start=other)
