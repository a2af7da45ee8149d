"""The variance of a gradient from two numbers a step, and the factor that it gives the learning rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.training.control.rate import GradientVariance, RateFactor, VarianceRate

DECAY = 0.9


def running(gradients: np.ndarray) -> list[float | None]:
    """What `GradientVariance` says after each of `gradients` (steps, weights), with Adam's mean as Adam keeps it."""
    variance, mean, said = GradientVariance(DECAY), np.zeros(gradients.shape[1]), []
    for gradient in gradients:
        mean = DECAY * mean + (1 - DECAY) * gradient
        said.append(variance(float(gradient @ gradient), float(mean @ mean)))
    return said


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 1000))
def test_it_is_the_weighted_sample_variance(steps: int, weights: int, seed: int) -> None:
    gradients = np.random.default_rng(seed).normal(1, 2, (steps, weights))
    shares = DECAY ** np.arange(steps - 1, -1, -1)
    shares /= shares.sum()
    mean = shares @ gradients
    expected = float((shares @ (gradients - mean) ** 2).sum() / (1 - (shares**2).sum()))
    assert running(gradients)[-1] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_it_is_unbiased() -> None:
    draw = np.random.default_rng(0)
    found = [running(draw.normal(3, 2, (8, 1)))[-1] for _ in range(4000)]
    assert np.mean(found) == pytest.approx(4, rel=0.05)  # type: ignore[arg-type]


def test_one_step_has_no_variance_and_equal_ones_have_none_to_speak_of() -> None:
    said = running(np.ones((5, 3)))
    assert said[0] is None and said[1:] == pytest.approx([0, 0, 0, 0], abs=1e-9)


def test_the_rate_falls_where_the_gradient_is_noisier_than_usual_and_rises_where_it_is_calmer() -> None:
    factor = RateFactor(VarianceRate(horizon=50))
    factor(None)
    assert factor.factor == 1.0
    for _ in range(30):
        factor(2.0)
    assert factor.factor == pytest.approx(1.0)
    factor(3.0)
    assert 0.6 < factor.factor < 0.75
    factor(1000.0)
    assert factor.factor == 0.5
    factor(0.0)
    assert factor.factor == 2.0


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=50))
def test_the_factor_keeps_to_its_bounds(variances: list[float | None]) -> None:
    factor = RateFactor(VarianceRate(lowest=0.7, highest=1.3))
    for variance in variances:
        factor(variance)
        assert 0.7 <= factor.factor <= 1.3
