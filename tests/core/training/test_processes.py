"""Several processes: the step that one would make, and nobody left behind however it ends."""

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from wheelwork.core.errors import DataError, ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.control.settings import Control
from wheelwork.core.training.control.step import OnStep, Step
from wheelwork.core.training.control.validation import Validation
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.packing import Encoded
from wheelwork.core.training.processes import _killed, part_of
from wheelwork.core.training.settings import Training
from wheelwork.core.training.sharding import refuse_whole
from wheelwork.core.training.trained import Trained
from wheelwork.core.training.watched import CHILD, learn, train_in_child
from wheelwork.tests.core.training.toys import STEPS, TRAINING, sample, samples, train

ONE = TRAINING.model_copy(update={"dropout": 0.0})
TWO = ONE.model_copy(update={"processes": 2})
GIVEN = samples(11)  # the last batch has one sample less, and each has rehearsal on one process alone
DEEPSPEED = Path(sys.prefix) / "deepspeed"  # an environment that sees all of this one; `make test` makes it
LONG = TWO.model_copy(update={"epochs": 40, "checkpoint_steps": 10})  # not over before a signal has come

encoded = st.builds(
    Encoded,
    prompt=st.just([1]),
    completion=st.lists(st.integers(0, 9), min_size=1, max_size=9),
    weight=st.floats(0.1, 10),
)


@given(st.lists(encoded, min_size=1, max_size=9), st.integers(1, 5))
def test_the_mean_over_processes_is_the_mean_over_the_tokens_of_the_whole_batch(
    batch: list[Encoded], processes: int
) -> None:
    def mean(some: list[Encoded]) -> float:
        """Of weight × token, a loss as good as any."""
        return sum(one.weight * sum(one.completion) for one in some) / sum(len(one.completion) for one in some)

    parts = [part_of(batch, rank, processes) for rank in range(processes)]
    assert sum(mean(part) for part in parts) / processes == pytest.approx(mean(batch))
    assert all(parts)


def test_one_process_has_the_batch_as_it_is() -> None:
    batch = [Encoded([1], [2, 3], 0.3), Encoded([4], [5], 0.7)]
    assert part_of(batch, 0, 1) == batch


def test_a_process_for_which_nothing_is_left_learns_nothing() -> None:
    batch = [Encoded([1], [2, 3], 0.3)]
    assert part_of(batch, 1, 2) == [replace(batch[0], weight=0.0)]


@dataclass(frozen=True)
class Ran:
    """What two processes made of GIVEN."""

    folder: Path
    trained: Trained
    seen: list[Step]


@pytest.fixture(scope="module")
def by_two(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder, seen = tmp_path_factory.mktemp("two"), list[Step]()
    return Ran(folder, train(tiny, folder, settings=TWO, samples=GIVEN, on_step=seen.append), seen)


def test_two_processes_train_the_adapter_that_one_trains(tiny: ModelFiles, tmp_path: Path, by_two: Ran) -> None:
    one = train(tiny, tmp_path, settings=ONE, samples=GIVEN)
    two, seen = by_two.trained, by_two.seen
    assert two.losses == pytest.approx(one.losses, rel=1e-4)
    assert (two.samples, two.tokens, two.packed, two.hardware) == (one.samples, one.tokens, True, one.hardware)
    assert [(step.step, step.steps) for step in seen] == [(n, STEPS) for n in range(1, STEPS + 1)]
    assert tuple(step.loss for step in seen) == two.losses
    weights = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (tmp_path, by_two.folder)]
    for name, weight in weights[0].items():
        assert torch.allclose(weights[1][name], weight, rtol=1e-2, atol=1e-4), name
    assert [path.name for path in by_two.folder.iterdir()] == ["adapter"]


def test_two_processes_measure_what_is_held_back_as_one_does(tiny: ModelFiles, tmp_path: Path) -> None:
    control = Control(validation=Validation(share=0.25, every=2, fewest=2))
    one, two = (
        train(tiny, tmp_path / name, settings=settings.model_copy(update={"control": control}), samples=samples(15))
        for name, settings in {"one": ONE, "two": TWO}.items()
    )
    assert two.validation and (two.samples, two.step, two.notes) == (one.samples, one.step, one.notes)
    assert [step for step, _ in two.validation] == [step for step, _ in one.validation]
    assert [loss for _, loss in two.validation] == pytest.approx([loss for _, loss in one.validation], rel=1e-3)


def test_two_processes_write_a_checkpoint_that_is_due_by_time_in_the_same_step(
    tiny: ModelFiles, tmp_path: Path
) -> None:
    control = Control(checkpoint_seconds=1)
    settings = TWO.model_copy(update={"control": control, "checkpoint_steps": 10_000, "epochs": 100})
    steps_after: list[Step] = []

    def stop(step: Step) -> None:
        if any(tmp_path.glob("training-*/checkpoint-*/trainer_state.json")):
            steps_after.append(step)
        if len(steps_after) == 5:  # by then all of it is written
            raise Stopped

    with pytest.raises(Stopped):
        train(tiny, tmp_path, settings=settings, on_step=stop)
    whole = {path.parent for path in tmp_path.glob("training-*/checkpoint-*/trainer_state.json")}
    assert all((folder / f"rng_state_{rank}.pth").is_file() for folder in whole for rank in (0, 1))


def spread_by(shard: str, base: ModelFiles, folder: Path, settings: Training, former: Former, **rest: Any) -> Trained:
    """As `train`, in a process with DeepSpeed where it is asked for: this one is better off without it."""
    settings = settings.model_copy(update={"processes": 2, "shard": shard})
    if shard == "fsdp":
        return train(base, folder, settings=settings, samples=samples(15), former=former, **rest)
    command = (str(DEEPSPEED / "bin" / "python"), *CHILD[1:])
    return train_in_child(
        samples(15), base, settings, seed=0, target=folder / "adapter", checkpoints=folder, former=former,
        command=command, **rest,
    )  # fmt: skip


@pytest.mark.parametrize(
    "shard",
    [
        "fsdp",
        pytest.param(
            "deepspeed",
            marks=pytest.mark.skipif(not (DEEPSPEED / ".ready").exists(), reason="DeepSpeed was not installed"),
        ),
    ],
)
def test_a_base_that_is_spread_over_two_processes_trains_the_adapter_that_one_trains(
    tiny: ModelFiles, tmp_path: Path, shard: str
) -> None:
    """From a champion's adapter, and stopped on the way; of every batch only one of the processes has rehearsal."""
    large = ONE.model_copy(update={"rank": 16, "lora_plus": 4.0})  # enough for DeepSpeed to part the adapter too
    train(tiny, tmp_path / "champion", settings=large)
    former = Former.at(tmp_path / "champion" / "adapter", ())
    control = Control(validation=Validation(share=0.25, every=2, fewest=2))
    asked = {"control": control, "epochs": 8, "start": "champion", "learning_rate": 3e-3}  # not over before the stop
    settings = large.model_copy(update=asked)
    one = train(tiny, tmp_path / "one", settings=settings, samples=samples(15), former=former)
    folder, seen, started = tmp_path / "spread", list[int](), list[psutil.Process]()

    def stop(step: Step) -> None:
        seen.append(step.step)
        if step.step == 5:
            started.extend(launched())
            raise Stopped

    with pytest.raises(Stopped):
        spread_by(shard, tiny, folder, settings, former, on_step=stop)
    assert eventually(lambda: not any(one.is_running() for one in started))
    last = max(folder.glob("training-*/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert (last / "adapter_model.safetensors").is_file()
    spread = spread_by(shard, tiny, folder, settings, former, on_step=lambda step: seen.append(step.step))
    assert spread.resumed_at >= 4 and spread.resumed_at % 2 == 0 and spread.step == one.step
    assert seen == [*range(1, 6), *range(spread.resumed_at + 1, len(one.losses) + 1)]  # each by one process alone
    assert spread.losses == pytest.approx(one.losses, rel=1e-4)
    assert [loss for _, loss in spread.validation] == pytest.approx([loss for _, loss in one.validation], rel=1e-3)
    weights = [load_file(place / "adapter" / "adapter_model.safetensors") for place in (tmp_path / "one", folder)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert torch.allclose(weights[1][name], weight, rtol=1e-2, atol=1e-4), name
    held, whole = map(float, re.findall(r"(\d+\.\d) of (\d+\.\d) MiB of the weights", spread.notes[0])[0])
    assert 0.4 < held / whole < 0.75  # on both the adapter is whole, and norms


@pytest.fixture
def group() -> Iterator[None]:
    """A group of one process."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_a_base_whose_layers_are_not_spread_one_by_one_is_refused(tiny: ModelFiles, group: None) -> None:
    """As transformers gives one back that it has no plan for."""
    whole, by_layers = (transformers.AutoModelForCausalLM.from_pretrained(tiny.folder) for _ in range(2))
    mesh = init_device_mesh("cpu", (1,))
    for part in (*by_layers.model.layers, by_layers, *whole.model.layers[1:], whole):
        fully_shard(part, mesh=mesh)
    refuse_whole(by_layers, "tiny")
    with pytest.raises(ModelError, match="tiny: transformers does not spread a llama over processes"):
        refuse_whole(whole, "tiny")


def test_a_base_that_takes_no_packed_samples_is_not_spread(tiny: ModelFiles, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.folder, tmp_path / "windowed")
    config = json.loads((folder / "config.json").read_text()) | {"sliding_window": 8}
    (folder / "config.json").write_text(json.dumps(config))
    base = ModelFiles("windowed", folder, None, "digest")
    with pytest.raises(ModelError, match="windowed does not take packed samples, so that processes would read rows"):
        train(base, tmp_path / "work", settings=TWO.model_copy(update={"shard": "fsdp"}))


class Stopped(BaseException):
    """As Ctrl-C: nobody catches it."""


def launched() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if "worker" in " ".join(one.cmdline())]


def test_a_process_that_is_killed_is_one_sentence_and_the_next_run_goes_on(tiny: ModelFiles, tmp_path: Path) -> None:
    def kill_one(step: Step) -> None:
        if step.step == 12:
            os.kill(launched()[-1].pid, signal.SIGKILL)

    with pytest.raises(ModelError, match=r"a process of the training was killed \(SIGKILL\), perhaps for want of mem"):
        train(tiny, tmp_path, settings=LONG, on_step=kill_one)
    assert not launched()
    assert not (tmp_path / "adapter").exists()
    resumed = train(tiny, tmp_path, settings=LONG)
    assert resumed.resumed_at >= 10 and resumed.resumed_at % 10 == 0  # as far as it came before the signal did
    assert len(resumed.losses) == STEPS // 2 * LONG.epochs


def test_a_training_that_is_stopped_leaves_no_process(tiny: ModelFiles, tmp_path: Path) -> None:
    started: list[psutil.Process] = []

    def stop(step: Step) -> None:
        started.extend(launched())
        raise Stopped

    with pytest.raises(Stopped):
        train(tiny, tmp_path, settings=LONG, on_step=stop)
    assert len(started) == 3  # the launcher and two
    assert eventually(lambda: not any(one.is_running() for one in started))


def test_processes_below_a_child_train_the_same_and_end_with_it(tiny: ModelFiles, tmp_path: Path, by_two: Ran) -> None:
    def in_child(folder: Path, on_step: OnStep) -> Trained:
        return learn(GIVEN, tiny, TWO, seed=0, target=folder / "adapter", checkpoints=folder / "work", on_step=on_step)

    seen: list[Step] = []
    started: list[psutil.Process] = []
    trained = in_child(tmp_path / "whole", seen.append)
    assert trained.losses == tuple(step.loss for step in seen)
    assert trained.losses == by_two.trained.losses

    def stop(step: Step) -> None:
        started.extend(launched())
        raise Stopped

    with pytest.raises(Stopped):
        in_child(tmp_path / "stopped", stop)
    assert len(started) >= 2
    assert eventually(lambda: not any(one.is_running() for one in started))


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def test_a_users_mistake_is_told_as_by_one_process(tiny: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample of 1 is left to train on \(1 too long\)"):
        train(tiny, tmp_path, settings=TWO, samples=[sample("word " * 2000, "wifi")])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("told", "kind", "says"),
    [
        ("  exitcode  : -9 (pid: 12)\n", "ModelError", "was killed (SIGKILL)"),
        ("[rank1]: RuntimeError: no luck\n  exitcode  : 1 (pid: 12)", "WheelworkError", "no luck"),
        ("", "WheelworkError", "(no reason told)"),
        # the launcher ends the others of one that failed, and the others of one that was killed fail
        ("  exitcode : -15\nValueError: no luck\n  exitcode : 1", "WheelworkError", "(ValueError: no luck)"),
        ("RuntimeError: closed by peer\n  exitcode : 1\n  exitcode : -9", "ModelError", "was killed (SIGKILL)"),
        ("  exitcode : -15\n", "ModelError", "was killed (SIGTERM)"),
    ],
)
def test_what_processes_died_of(told: str, kind: str, says: str) -> None:
    error = _killed(told)
    assert type(error).__name__ == kind
    assert says in str(error)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"processes": 1}, "`processes: 1` do not go together: there is nobody to spread the base to"),
        ({"quantize": "nf4"}, "4-bit weights are not spread"),
        ({"dora": True}, "`dora` do not go together"),
        ({"keep": [{"kind": "ewc"}]}, "`keep: ewc` do not go together"),
        ({"focus": [{"kind": "top_loss"}]}, "this `focus` or `order` do not go together"),
        ({"control": {"worth": {}}}, "`control.worth` do not go together"),
        ({"control": {"rate": {}}}, "`shard: deepspeed` and `control.rate` do not go together"),
    ],
)
def test_what_a_spread_base_does_not_go_with_is_refused(asked: dict[str, object], says: str) -> None:
    assert Training(processes=2, shard="fsdp").in_words.endswith("2 processes that share the base's weights")
    with pytest.raises(ValueError, match=says):
        Training(**{"processes": 2, "shard": "deepspeed", **asked})


def test_more_processes_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="so some had none"):
        Training(processes=9, batch_size=8)
