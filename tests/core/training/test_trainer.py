"""Training an adapter: the same twice, on its feet again after a kill, and one sentence when it cannot go on."""

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import DataError, ModelError, WorkspaceError
from wheelwork.core.models.store import ModelFiles, ModelStore
from wheelwork.core.training.control.step import OnStep, Step
from wheelwork.core.training.packing import encode
from wheelwork.core.training.trained import Trained
from wheelwork.tests.core.engines.served import log_probabilities
from wheelwork.tests.core.engines.served import trained as trained_network
from wheelwork.tests.core.training.toys import STEPS, TRAINING, sample, samples, train

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.packing import encode
from wheelwork.tests.core.engines.served import log_probabilities
from wheelwork.tests.core.engines.served import trained as trained_network
from wheelwork.tests.core.training.toys import train

torch.set_num_threads(1)
name, folder, digest, work = sys.argv[1:]
stop = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step.step == 5 else None
train(ModelFiles(name, Path(folder), None, digest), Path(work), on_step=stop)
"""


class Stopped(BaseException):
    """As Ctrl-C: nobody catches it."""


def stopping_at(last: int) -> OnStep:
    def on_step(step: Step) -> None:
        if step.step == last:
            raise Stopped

    return on_step


@dataclasses.dataclass(frozen=True)
class Run:
    trained: Trained
    adapter: Adapter


def run(base: ModelFiles, folder: Path, **options: Any) -> Run:
    return Run(train(base, folder, **options), Adapter.at(folder / "adapter"))


@pytest.fixture(scope="module")
def straight(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The training that nothing interrupted."""
    return run(tiny, tmp_path_factory.mktemp("straight"))


@pytest.fixture(scope="module")
def stopped(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training that ended in step 5 leaves: checkpoints after steps 2 and 4."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Stopped):
        train(tiny, folder, on_step=stopping_at(5))
    return folder


@pytest.fixture
def left(stopped: Path, tmp_path: Path) -> Path:
    """A copy of `stopped`, to be damaged."""
    return shutil.copytree(stopped, tmp_path / "left")


def test_it_reports_what_it_did(tiny: ModelFiles, tmp_path: Path) -> None:
    seen: list[Step] = []
    trained = train(tiny, tmp_path, on_step=seen.append)
    assert [(step.step, step.steps) for step in seen] == [(n, STEPS) for n in range(1, STEPS + 1)]
    assert trained.losses == tuple(step.loss for step in seen)
    assert (trained.step, trained.stopped, trained.validation, trained.notes) == (STEPS, "", (), ())
    assert (trained.samples, trained.too_long, trained.resumed_at, trained.packed) == (12, 0, 0, True)
    assert trained.losses[-1] == trained.final_loss < 0.8 * trained.losses[0]
    assert trained.tokens_per_second == pytest.approx(trained.tokens / trained.seconds)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]  # the checkpoints are gone


def test_the_same_training_gives_the_same_bytes_that_name_no_path(
    tiny: ModelFiles, straight: Run, tmp_path: Path
) -> None:
    moved = dataclasses.replace(tiny, folder=shutil.copytree(tiny.folder, tmp_path / "moved"))
    again = run(moved, tmp_path)
    assert again.adapter.digest == straight.adapter.digest
    assert sorted(path.name for path in again.adapter.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    text = (again.adapter.folder / "adapter_config.json").read_text()
    assert str(tmp_path) not in text and json.loads(text)["base_model_name_or_path"] == "tiny"
    assert run(tiny, tmp_path / "other", seed=1).adapter.digest != straight.adapter.digest


def test_a_killed_training_goes_on_to_the_same_adapter(tiny: ModelFiles, straight: Run, tmp_path: Path) -> None:
    # another hash seed: the order of sets must not show in the adapter
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tiny.name, str(tiny.folder), tiny.digest, str(tmp_path)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert (killed.returncode, killed.stdout, killed.stderr) == (-9, "", "")
    resumed = run(tiny, tmp_path)
    assert resumed.trained.resumed_at == 4
    assert resumed.trained.losses == straight.trained.losses
    assert resumed.adapter.digest == straight.adapter.digest  # bitwise


@pytest.mark.parametrize("damage", ["cut short", "absent", "empty"])
def test_a_half_written_checkpoint_is_passed_over(damage: str, tiny: ModelFiles, straight: Run, left: Path) -> None:
    (state,) = left.glob("*/checkpoint-4/trainer_state.json")
    if damage == "cut short":
        state.write_text(state.read_text()[:-20])
    elif damage == "absent":
        state.unlink()
    else:
        state.write_text("")
    resumed = run(tiny, left)
    assert resumed.trained.resumed_at == 2
    assert resumed.adapter.digest == straight.adapter.digest


def test_a_training_whose_adapter_could_not_be_written_only_writes_it_the_next_time(
    tiny: ModelFiles, straight: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="a file is in the way"):
        train(tiny, tmp_path, target=tmp_path / "file" / "adapter")
    resumed = run(tiny, tmp_path)
    assert resumed.trained.resumed_at == STEPS
    assert resumed.trained.losses == straight.trained.losses
    assert resumed.adapter.digest == straight.adapter.digest


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"settings": TRAINING.model_copy(update={"learning_rate": 2e-2})},
        {"samples": [*samples(11), sample("message number 11", "wifi")]},
        {"samples": [*samples(11), sample("message number 11", "bill", "Be brief.", weight=2.0)]},
    ],
    ids=["seed", "rate", "text", "weight"],
)
def test_another_training_never_goes_on_from_its_checkpoints(
    other: dict[str, Any], tiny: ModelFiles, left: Path
) -> None:
    (work,) = left.glob("training-*")
    shutil.copytree(work / "checkpoint-4", left / "checkpoint-4")  # nor from what lies beside them
    trained = train(tiny, left, **other)
    assert (trained.resumed_at, len(trained.losses)) == (0, STEPS)
    assert work.is_dir()


@pytest.mark.parametrize("file", ["optimizer.pt", "trainer_state.json"])
def test_a_full_disk_is_one_sentence(file: str, tiny: ModelFiles, tmp_path: Path) -> None:
    def fill(step: Step) -> None:
        if step.step == 2:  # before the checkpoint is written
            (work,) = tmp_path.glob("training-*")
            (work / "checkpoint-2").mkdir()
            (work / "checkpoint-2" / file).symlink_to("/dev/full")

    with pytest.raises(WorkspaceError, match=f"{tmp_path}: the disk is full; free some space"):
        train(tiny, tmp_path, on_step=fill)
    assert not (tmp_path / "adapter").exists()


def test_nothing_is_written_to_the_terminal(
    tiny: ModelFiles, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    train(tiny, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_samples_that_are_too_long_are_left_out_and_counted(tiny: ModelFiles, tmp_path: Path) -> None:
    given = [*samples(4), sample("word " * 2000, "wifi")]
    trained = train(tiny, tmp_path, samples=given)
    assert (trained.samples, trained.too_long) == (4, 1)


@pytest.mark.parametrize("given", [[], [sample("word " * 2000, "wifi")]], ids=["none", "too long"])
def test_nothing_left_to_train_on_is_one_sentence(given: list[Any], tiny: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"no sample of {len(given)} is left to train on \({len(given)} too long\)"):
        train(tiny, tmp_path, samples=given)
    assert not any(tmp_path.iterdir())


def test_weights_count_against_each_other_and_not_by_their_scale(tiny: ModelFiles, tmp_path: Path) -> None:
    together = TRAINING.model_copy(update={"batch_size": 6, "epochs": 5})

    def trained_with(wifi: float, bill: float) -> Adapter:
        given = [sample("which one?", "wifi", weight=wifi), sample("which one?", "bill", weight=bill)] * 3
        return run(tiny, tmp_path / f"{wifi}-{bill}", settings=together, samples=given).adapter

    equal, scaled = trained_with(1, 1), trained_with(4, 4)
    assert equal.digest == scaled.digest
    assert preference(tiny, trained_with(4, 1)) > preference(tiny, equal) > preference(tiny, trained_with(1, 4))


def preference(base: ModelFiles, adapter: Adapter) -> float:
    """How much likelier "wifi" is than "bill", in nats, after a training."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    (one,), _ = encode([sample("which one?", "wifi")], tokenizer, 1024)
    wifi, bill = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("wifi", "bill"))
    row = log_probabilities(trained_network(base, adapter), one.prompt)[-1]
    return float(row[wifi] - row[bill])


def with_weights(base: ModelFiles, folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> ModelFiles:
    shutil.copytree(base.folder, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return ModelStore(folder.parent / "store").get(str(folder))


def test_a_loss_that_is_no_number_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"].fill_(float("inf"))

    base = with_weights(tiny, tmp_path / "spoilt", spoil)
    with pytest.raises(ModelError, match=r"loss is no longer a number; lower `train.learning_rate`"):
        train(base, tmp_path / "work")
    assert not (tmp_path / "work" / "adapter").exists()


def test_an_adapter_that_is_no_number_is_not_written(tiny: ModelFiles, tmp_path: Path) -> None:
    rarely = TRAINING.model_copy(update={"checkpoint_steps": STEPS})  # none from before
    seen: list[torch.nn.Module] = []

    def spoil(step: Step) -> None:
        if step.step == step.steps:  # the last update comes after the last loss
            for weight in (weight for module in seen for weight in module.parameters() if weight.requires_grad):
                weight.data.fill_(float("nan"))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda module, _: seen.append(module))
    try:
        with pytest.raises(ModelError, match="no longer a number"):
            train(tiny, tmp_path, on_step=spoil, settings=rarely)
    finally:
        hook.remove()
    assert not (tmp_path / "adapter").exists()


def test_a_target_that_the_model_lacks_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny: LoRA does not fit `train.targets` \('qqq',\)"):
        train(tiny, tmp_path, settings=TRAINING.model_copy(update={"targets": ("qqq",)}))


def test_an_architecture_that_takes_no_packed_rows_is_trained_one_by_one(
    tiny: ModelFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "bloom"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny.folder)
    tokenizer.save_pretrained(folder)
    config = transformers.BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    base = ModelStore(tmp_path / "store").get(str(folder))
    with caplog.at_level(logging.WARNING, logger="wheelwork"):
        trained = train(base, tmp_path / "work")
    assert (trained.packed, trained.samples, len(trained.losses)) == (False, 12, STEPS)
    assert trained.losses[-1] < trained.losses[0]
    assert [record.getMessage() for record in caplog.records] == [
        "bloom does not take packed samples; it is trained on one at a time, which is slower"
    ]
