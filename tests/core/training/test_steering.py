"""A training that is steered: what is told of each step, what ends it, and that a kill changes nothing of it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from wheelwork.core.engines.base import Adapter
from wheelwork.core.errors import ModelError
from wheelwork.core.models.store import ModelFiles
from wheelwork.core.training.control.rate import VarianceRate
from wheelwork.core.training.control.settings import Control
from wheelwork.core.training.control.stability import Stability
from wheelwork.core.training.control.step import Step
from wheelwork.core.training.control.validation import Validation
from wheelwork.core.training.settings import Training
from wheelwork.core.training.trained import Trained
from wheelwork.tests.core.training.toys import STEPS, TRAINING, rehearsal, sample, samples, train

VALIDATION = Validation(share=0.25, every=2, patience=2, fewest=2)


class Stopped(BaseException):
    """As Ctrl-C: nobody catches it."""


def steered(**control: Any) -> Training:
    return TRAINING.model_copy(update={"control": Control(**control)})


def digest(folder: Path) -> str:
    return Adapter.at(folder / "adapter").digest


def stopped_at(last: int, base: ModelFiles, folder: Path, settings: Training, **rest: Any) -> None:
    def stop(step: Step) -> None:
        if step.step == last:
            raise Stopped

    with pytest.raises(Stopped):
        train(base, folder, settings=settings, on_step=stop, **rest)


def contradictory() -> list[Any]:
    """Samples with the answers of which what is held back cannot be foretold: the loss on it rises soon."""
    return [sample(f"message {n}", ("wifi", "bill")[n * n % 7 % 2], label=f"{n % 2}") for n in range(24)]


# what is told


def test_each_step_is_told_with_all_that_was_measured(tiny: ModelFiles, tmp_path: Path) -> None:
    steps: list[Step] = []
    train(tiny, tmp_path, settings=steered(validation=VALIDATION), on_step=steps.append)
    assert all(step.gradient_norm and step.tokens_per_second > 0 and step.memory > 10_000_000 for step in steps)
    assert [step.gradient_variance is None for step in steps] == [True] + [False] * (len(steps) - 1)
    assert [step.validation_loss is not None for step in steps] == [
        step.step % 2 == 0 or step.step == len(steps) for step in steps
    ]
    assert steps[0].learning_rate == pytest.approx(1e-2) and steps[-1].learning_rate < 3e-3
    assert steps[1].figures().keys() >= {"loss", "gradient_variance", "validation_loss", "memory"}
    assert steps[1].said().startswith(f"step 2 of {len(steps)}, loss ")


def test_the_first_moment_that_the_variance_is_taken_from_is_adams(tiny: ModelFiles, tmp_path: Path) -> None:
    """Two equal steps but for dropout and the update: the variance is of the size of the gradient, clipped to 1."""
    steps: list[Step] = []
    train(tiny, tmp_path, on_step=steps.append)
    told = [step.gradient_variance for step in steps[1:]]
    assert all(variance is not None and 0 < variance < 2 for variance in told)


# the learning rate


def test_the_rate_follows_the_variance_within_its_bounds_and_only_where_asked_for(
    tiny: ModelFiles, tmp_path: Path
) -> None:
    plain: list[Step] = []
    scaled: list[Step] = []
    train(tiny, tmp_path / "plain", on_step=plain.append)
    train(tiny, tmp_path / "scaled", settings=steered(rate=VarianceRate(horizon=10)), on_step=scaled.append)
    factors = [one.learning_rate / other.learning_rate for one, other in zip(scaled, plain, strict=True)]
    assert factors[0] == factors[1] == 1.0
    assert all(0.5 <= factor <= 2 for factor in factors) and len(set(factors)) > 2


# early stopping


@pytest.fixture(scope="module")
def overfitted(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, list[Step], Path]:
    folder, steps = tmp_path_factory.mktemp("overfitted"), list[Step]()
    settings = steered(validation=VALIDATION).model_copy(update={"epochs": 30})
    return train(tiny, folder, settings=settings, samples=contradictory(), on_step=steps.append), steps, folder


def test_it_stops_when_what_is_held_back_gets_no_better_and_has_the_best_weights(
    overfitted: tuple[Trained, list[Step], Path], tiny: ModelFiles, tmp_path: Path
) -> None:
    trained, steps, folder = overfitted
    measured = dict(trained.validation)
    assert trained.stopped == "the validation loss had not fallen in 2 measurements"
    assert len(trained.losses) == len(steps) == max(measured) < steps[0].steps
    assert measured[trained.step] == min(measured.values()) and trained.step == max(measured) - 4

    # the weights are those that a training which ends there has
    class Ended(Exception):
        pass

    weights: dict[str, torch.Tensor] = {}
    settings = steered(validation=VALIDATION).model_copy(update={"epochs": 30, "checkpoint_steps": trained.step})
    stopped_at(trained.step + 1, tiny, tmp_path, settings, samples=contradictory())
    from safetensors.torch import load_file

    (checkpoint,) = tmp_path.glob(f"training-*/checkpoint-{trained.step}")
    weights = load_file(checkpoint / "adapter_model.safetensors")
    ours = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert ours.keys() == weights.keys() and all(torch.equal(ours[name], weights[name]) for name in ours)


def test_too_few_samples_train_without_validation_and_a_note_says_so(tiny: ModelFiles, tmp_path: Path) -> None:
    trained = train(tiny, tmp_path, settings=steered(validation=Validation(fewest=4)))
    assert (trained.samples, trained.validation, trained.stopped) == (12, (), "")
    assert trained.notes[0].startswith("nothing was held back")


def test_rehearsal_is_held_back_too(tiny: ModelFiles, tmp_path: Path) -> None:
    given = [*samples(4), *(rehearsal(f"say {n}", "yes") for n in range(8))]
    trained = train(tiny, tmp_path, settings=steered(validation=VALIDATION), samples=given)
    assert trained.samples == 9 and trained.validation


# a kill changes nothing


WHOLE = steered(validation=VALIDATION, rate=VarianceRate(horizon=10)).model_copy(update={"epochs": 30})


@pytest.fixture(scope="module")
def uninterrupted(tiny: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return train(tiny, folder, settings=WHOLE, samples=contradictory()), folder


@pytest.mark.parametrize("last", [3, 5, 8, 11])
def test_a_steered_training_that_is_stopped_goes_on_to_the_same_adapter(
    last: int, uninterrupted: tuple[Trained, Path], tiny: ModelFiles, tmp_path: Path
) -> None:
    straight, folder = uninterrupted
    last = min(last, len(straight.losses))
    stopped_at(last, tiny, tmp_path, WHOLE, samples=contradictory())
    resumed = train(tiny, tmp_path, settings=WHOLE, samples=contradictory())
    assert resumed.resumed_at == (last - 1) // 2 * 2
    assert resumed.losses == straight.losses and resumed.validation == straight.validation
    assert (resumed.step, resumed.stopped) == (straight.step, straight.stopped)
    assert digest(tmp_path) == digest(folder)


def test_a_checkpoint_is_due_after_some_seconds_too(tiny: ModelFiles, tmp_path: Path) -> None:
    now = {"seconds": 0.0}
    saved: list[list[str]] = []

    def heard(step: Step) -> None:
        now["seconds"] += 40  # none is due by the number of steps
        saved.append(sorted(path.name for path in tmp_path.glob("training-*/checkpoint-*")))

    import wheelwork.core.training.control.steering as steering

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now["seconds"]

    before = steering.time
    steering.time = Clock  # type: ignore[assignment]
    try:
        rarely = TRAINING.model_copy(update={"checkpoint_steps": 1000})
        train(tiny, tmp_path, settings=rarely, on_step=heard)
    finally:
        steering.time = before
    assert saved == [[], [], [], *[["checkpoint-3"]] * 3]  # and one after the last step


# what goes wrong


def spoiling(first: int, factor: float) -> Any:
    """A listener that multiplies the trained weights after step `first`, as a step that was far too large does."""

    def spoil(step: Step) -> None:
        if step.step == first:
            for weight in (weight for module in seen for weight in module.parameters() if weight.requires_grad):
                weight.data.mul_(factor)

    seen: set[torch.nn.Module] = set()
    spoil.seen = seen  # type: ignore[attr-defined]
    return spoil


def train_spoilt(base: ModelFiles, folder: Path, first: int, factor: float, settings: Training) -> Trained:
    spoil = spoiling(first, factor)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda module, _: spoil.seen.add(module))
    try:
        return train(base, folder, settings=settings, on_step=spoil)
    finally:
        hook.remove()


# a tiny model that is spoilt is no worse than one that knows nothing: a loss of 5 to 6 after 1 to 3
LONG = steered(stability=Stability(times=1.2, steps=2)).model_copy(update={"epochs": 8})


@pytest.mark.parametrize(
    ("first", "factor", "kept", "said"),
    [
        (9, math.nan, 8, "the loss was no longer a number in step 10"),
        (10, math.nan, 8, "the loss was no longer a number in step 11"),  # its checkpoint was of spoilt weights
        (13, 1.5, 12, "the loss rose to more than 1.2 times what it had been, from step 14"),
        (24, math.nan, 22, "the last update made weights that are no numbers"),
    ],
)
def test_a_training_that_diverges_keeps_the_last_good_weights_and_says_so(
    first: int, factor: float, kept: int, said: str, tiny: ModelFiles, tmp_path: Path
) -> None:
    trained = train_spoilt(tiny, tmp_path / "spoilt", first, factor, LONG)
    assert (trained.step, trained.stopped) == (kept, f"{said}; the weights are those after step {kept}")
    assert len(trained.losses) == first and all(map(math.isfinite, trained.losses))
    # the same as a training that was good and whose checkpoint was looked at
    from safetensors.torch import load_file

    stopped_at(kept + 1, tiny, tmp_path / "good", LONG)
    (checkpoint,) = (tmp_path / "good").glob(f"training-*/checkpoint-{kept}")
    good = load_file(checkpoint / "adapter_model.safetensors")
    ours = load_file(tmp_path / "spoilt" / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(ours[name], good[name]) for name in good)


def test_without_a_good_checkpoint_there_is_no_adapter(tiny: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no longer a number; lower `train.learning_rate`"):
        train_spoilt(tiny, tmp_path, 1, math.nan, LONG)
    rarely = LONG.model_copy(update={"checkpoint_steps": 1000})
    with pytest.raises(ModelError, match="the training loss explodes; lower"):
        train_spoilt(tiny, tmp_path, 13, 1.5, rarely)
    assert not (tmp_path / "adapter").exists()


def test_a_training_that_diverges_has_the_best_weights_where_some_were_measured(
    tiny: ModelFiles, tmp_path: Path
) -> None:
    control = Control(validation=VALIDATION.model_copy(update={"patience": 50}))
    trained = train_spoilt(tiny, tmp_path, 9, math.nan, LONG.model_copy(update={"control": control}))
    assert trained.stopped == "the loss was no longer a number in step 10"
    assert trained.step in dict(trained.validation) and trained.step <= 8
    assert len(trained.losses) == 9 > STEPS
