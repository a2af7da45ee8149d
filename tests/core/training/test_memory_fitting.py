"""Steps that are taken in parts for want of memory: the same loss, the same gradient, and on from where it was."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from wheelwork.core.errors import ModelError, WorkspaceError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.control.available import available_memory, refuse_full_disk
from wheelwork.core.training.control.fitting import MemoryFit, MicroBatches, chunks, guessed_parts, kept_by_forward
from wheelwork.core.training.control.settings import Control
from wheelwork.core.training.control.step import Step
from wheelwork.core.training.keeping.former import Former
from wheelwork.core.training.keeping.settings import ChampionKl, Ewc
from wheelwork.core.training.losses import token_losses
from wheelwork.core.training.packing import Encoded, pack
from wheelwork.tests.core.training.keeping.toys import champion
from wheelwork.tests.core.training.toys import TRAINING, samples, train

EXACT = MemoryFit(share=1.0)
PLAIN = TRAINING.model_copy(update={"dropout": 0.0, "noise": 0.0})


def in_parts(parts: int) -> Any:
    return PLAIN.model_copy(update={"control": Control(memory=MemoryFit(parts=parts))})


@contextmanager
def memory_for(tokens: int, error: type[Exception] = torch.OutOfMemoryError) -> Iterator[list[int]]:
    """A machine on which a forward pass of more than `tokens` runs out of memory; yields the lengths that did."""
    failed: list[int] = []

    def allocate(module: torch.nn.Module, inputs: Any) -> None:
        if isinstance(module, torch.nn.Embedding) and torch.is_grad_enabled() and inputs[0].numel() > tokens:
            failed.append(inputs[0].numel())
            raise error("can't allocate memory")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(allocate)
    try:
        yield failed
    finally:
        hook.remove()


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_step_in_parts_has_the_loss_and_the_gradient_of_the_whole(
    parts: int, tiny: ModelFiles, tmp_path: Path
) -> None:
    whole, seen = [], []
    train(tiny, tmp_path / "whole", settings=PLAIN, on_step=whole.append)
    trained = train(tiny, tmp_path / "parts", settings=in_parts(parts), on_step=seen.append)
    assert trained.parts == parts and "in up to" in trained.notes[0]
    for one, other in zip(whole, seen, strict=True):
        assert other.loss == pytest.approx(one.loss, abs=1e-5)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)


def test_what_holds_a_step_to_the_champion_counts_once_whatever_its_parts(tiny: ModelFiles, tmp_path: Path) -> None:
    former = Former(champion(tmp_path / "champion", tiny, r=4, lora_alpha=8), samples(6)[:3])
    seen: dict[int, list[Step]] = {1: [], 2: []}
    for parts, steps in seen.items():
        settings = in_parts(parts).model_copy(update={"start": "scratch", "keep": (Ewc(strength=5.0), ChampionKl())})
        train(tiny, tmp_path / str(parts), settings=settings, former=former, on_step=steps.append)
    for one, other in zip(*seen.values(), strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-4)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-3)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_a_step_that_runs_out_of_memory_is_taken_again_in_parts_and_the_training_goes_on(
    error: type[Exception], tiny: ModelFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    straight = train(tiny, tmp_path / "straight", settings=PLAIN)
    tight = PLAIN.model_copy(update={"control": Control(memory=MemoryFit(guess=False))})
    with memory_for(100, error) as failed, caplog.at_level(logging.WARNING, logger="wheelwork"):
        trained = train(tiny, tmp_path / "tight", settings=tight)
    assert (len(failed), trained.parts) == (1, 2)
    assert trained.losses == pytest.approx(straight.losses, abs=1e-4)
    assert "the memory is too small for a step of 4 samples; taken in 2 parts" in caplog.messages
    adapters = [load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("straight", "tight")]
    for name, weight in adapters[0].items():
        assert torch.allclose(adapters[1][name], weight, atol=2e-3), name


def test_a_sample_that_does_not_fit_by_itself_is_one_sentence(tiny: ModelFiles, tmp_path: Path) -> None:
    tight = PLAIN.model_copy(update={"control": Control(memory=MemoryFit(guess=False))})
    with memory_for(3), pytest.raises(ModelError, match="the memory is too small for this training; lower"):
        train(tiny, tmp_path, settings=tight)


def test_a_training_that_goes_on_keeps_to_its_parts_bitwise(tiny: ModelFiles, tmp_path: Path) -> None:
    class Stopped(BaseException):
        pass

    def stop(step: Step) -> None:
        if step.step == 5:
            raise Stopped

    tight = TRAINING.model_copy(update={"control": Control(memory=MemoryFit(guess=False))})
    with memory_for(100):
        straight = train(tiny, tmp_path / "straight", settings=tight)
        with pytest.raises(Stopped):
            train(tiny, tmp_path / "again", settings=tight, on_step=stop)
    resumed = train(tiny, tmp_path / "again", settings=tight)  # with all the memory in the world
    assert (resumed.resumed_at, resumed.parts) == (4, straight.parts)
    assert resumed.losses == straight.losses
    one, other = (
        (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("straight", "again")
    )
    assert one == other


def test_in_several_processes_nobody_takes_other_parts_than_the_rest() -> None:
    micro = MicroBatches(together, most=1)

    def full(rows: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        micro.learn([Encoded([1], [2]), Encoded([1], [3])], full, lambda: None)
    assert micro.share == 1.0


@given(st.integers(1, 40), st.integers(1, 60))
def test_chunks_are_all_in_order_and_as_many_as_asked_for(count: int, parts: int) -> None:
    batch = [Encoded([1], [n]) for n in range(count)]
    pieces = chunks(batch, parts)
    assert [one for piece in pieces for one in piece] == batch
    assert len(pieces) == min(count, parts)
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def together(batch: Sequence[Encoded]) -> dict[str, Any]:
    return {"learn": [pack(batch)]}


def kept(network: Any, rows: list[Encoded]) -> int:
    return kept_by_forward(network, lambda: token_losses(network, pack(rows)))


def lessons(count: int, length: int) -> list[Encoded]:
    return [Encoded([n + 3 for n in range(length - 2)], [one % 50, 2]) for one in range(count)]


def test_what_a_forward_pass_keeps_grows_with_its_tokens_and_draws_no_random_number(tiny: ModelFiles) -> None:
    network = AutoModelForCausalLM.from_pretrained(tiny.folder, local_files_only=True)
    before = torch.random.get_rng_state()
    short, long = (kept(network, lessons(1, length)) for length in (40, 80))
    assert torch.equal(before, torch.random.get_rng_state())
    assert 1.7 < long / short < 2.6
    # two layers of 64 wide: some dozens of numbers of 4 bytes for each token, dimension and layer
    assert 10 < short / (40 * 64 * 2 * 4) < 100


def test_steps_are_reckoned_to_fit_into_what_is_available(tiny: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    network = AutoModelForCausalLM.from_pretrained(tiny.folder, local_files_only=True)
    rows = lessons(8, 60)
    needed = 2 * kept(network, rows[:1]) * (58 + 8) / 59  # the last token of a sample is not read

    def parts(available: float, fit: MemoryFit = EXACT) -> int:
        monkeypatch.setattr("wheelwork.core.training.control.fitting.available_memory", lambda: int(available))
        return guessed_parts(
            network, MicroBatches(together), rows, 8, fit, lambda laid: token_losses(network, laid["learn"][0])
        )

    assert [parts(needed * share) for share in (1.1, 0.9, 0.4, 0.001)] == [1, 2, 4, 8]
    assert parts(needed * 0.001, MemoryFit(guess=False)) == 1
    assert math.isfinite(needed)


def test_with_gradient_checkpointing_nothing_is_reckoned(tiny: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelwork.core.training.control.fitting.available_memory", lambda: 1)
    network = AutoModelForCausalLM.from_pretrained(tiny.folder, local_files_only=True)
    micro, lessons = MicroBatches(lambda batch: {"learn": [pack(batch)]}), [Encoded([1, 2], [3]), Encoded([4], [5])]

    def loss(rows: Any) -> torch.Tensor:
        return torch.cat([token_losses(network, row) for row in rows["learn"]]).mean()

    assert guessed_parts(network, micro, lessons, 2, EXACT, loss) == 2
    network.gradient_checkpointing_enable()
    assert guessed_parts(network, micro, lessons, 2, EXACT, loss) == 1


def test_a_container_leaves_less_than_the_machine(tmp_path: Path) -> None:
    own, inner = tmp_path / "cgroup", tmp_path / "root" / "pod" / "box"
    inner.mkdir(parents=True)
    own.write_text("0::/pod/box\n")
    for folder, limit in ((inner, "max"), (inner.parent, "5000")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("4000\n")
        (folder / "memory.stat").write_text("anon 100\ninactive_file 500\n")
    assert available_memory(tmp_path / "root", own) == 1500
    assert available_memory(tmp_path / "root", tmp_path / "none") > 1500


def test_a_disk_too_small_for_the_checkpoints_is_refused_before_the_first_step(tmp_path: Path) -> None:
    place = tmp_path / "not" / "there"
    refuse_full_disk(place, 100, best=False, free=1000)  # three checkpoints of 300, and the adapter
    with pytest.raises(WorkspaceError, match=rf"^{tmp_path}: the checkpoints of this training need .* GB .* are free"):
        refuse_full_disk(place, 100, best=False, free=999)
    with pytest.raises(WorkspaceError):
        refuse_full_disk(place, 100, best=True, free=1299)


def test_the_trainer_asks_for_the_disk(tiny: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    steps: list[Step] = []
    monkeypatch.setattr("wheelwork.core.training.control.available.shutil.disk_usage", lambda folder: Full)
    with pytest.raises(WorkspaceError, match=r"free some space, or lower `train\.rank`"):
        train(tiny, tmp_path, samples=samples(4), on_step=steps.append)
    assert not steps and not (tmp_path / "adapter").exists()
