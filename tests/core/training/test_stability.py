"""When a loss is taken to explode, and when it is only a hard sample."""

import math

import pytest
from wheelwork.core.training.control.stability import Stability, Watch


def reasons(losses: list[float], **settings: float) -> list[str]:
    watch = Watch(Stability(**settings))  # type: ignore[arg-type]
    return [watch(step, loss) for step, loss in enumerate(losses, 1)]


def test_a_loss_that_falls_is_well() -> None:
    assert reasons([2 * 0.9**n for n in range(200)]) == [""] * 200


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_ends_a_training_at_once(loss: float) -> None:
    assert reasons([1.0, loss])[-1] == "the loss was no longer a number in step 2"


def test_a_loss_explodes_when_it_does_so_for_some_steps() -> None:
    said = reasons([2.0] * 10 + [30.0, 40.0, 50.0], times=10, steps=3)
    assert said[:-1] == [""] * 12
    assert said[-1] == "the loss rose to more than 10 times what it had been, from step 11"


def test_one_bad_step_is_forgiven() -> None:
    watch = Watch(Stability(times=10, steps=3))
    assert not any(watch(n, loss) for n, loss in enumerate([2.0] * 10 + [50.0, 50.0, 2.0, 50.0, 50.0], 1))
    assert watch.first_bad == 14


def test_late_in_a_training_a_hard_sample_is_no_explosion() -> None:
    assert reasons([3.0] * 5 + [0.01] * 50 + [0.9] * 10) == [""] * 65  # ninety times the median, below the beginning


def test_a_training_that_explodes_from_its_first_steps_has_nothing_to_be_compared_with() -> None:
    assert reasons([2.0, 20.0, 200.0]) == ["", "", ""]
