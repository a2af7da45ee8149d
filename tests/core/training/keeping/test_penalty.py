"""The penalty is that of the weights: 0 at the champion, the naive sum elsewhere, and its gradient too."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.training.keeping.champion import Update
from wheelwork.core.training.keeping.fisher import Importance
from wheelwork.core.training.keeping.penalty import layer_distance

SIZES = st.integers(1, 7)


class Case(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor
    scale: float
    then: Update
    importance: Importance


@st.composite
def cases(draw: st.DrawFn) -> Case:
    out, into, rank, old = (draw(SIZES) for _ in range(4))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    return Case(
        matrix(rank, into),
        matrix(out, rank),
        draw(st.sampled_from([0.5, 1.0, 2.0, 8.0])),
        Update(matrix(old, into).float(), matrix(out, old).float()),
        Importance(matrix(out).abs().float(), matrix(into).abs().float()),
    )


def naive(update: torch.Tensor, then: Update | None, importance: Importance) -> torch.Tensor:
    """The sum over the whole matrix, in 64 bits."""
    wanted = torch.zeros_like(update) if then is None else then.b.double() @ then.a.double()
    return (torch.outer(*importance).double() * (update - wanted) ** 2).sum()


@settings(max_examples=60, deadline=None)
@given(cases(), st.booleans())
def test_it_is_the_weighted_square_of_the_difference_of_the_weights(case: Case, known: bool) -> None:
    then = case.then if known else None
    expected = naive(case.scale * case.b @ case.a, then, case.importance)
    found = layer_distance(Update(case.a, case.b * case.scale), then, case.importance)
    assert float(found) == pytest.approx(float(expected), rel=1e-4, abs=1e-4)
    assert float(expected) > 0


@settings(max_examples=40, deadline=None)
@given(cases())
def test_its_gradients_are_those_of_the_naive_sum(case: Case) -> None:
    ours = [one.clone().requires_grad_() for one in (case.a, case.b)]
    theirs = [one.clone().requires_grad_() for one in (case.a, case.b)]
    layer_distance(Update(ours[0], ours[1] * case.scale), case.then, case.importance).backward()
    naive(case.scale * theirs[1] @ theirs[0], case.then, case.importance).backward()
    for one, other in zip(ours, theirs, strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_it_is_0_at_the_champion_to_the_last_digit_and_pulls_nowhere(case: Case) -> None:
    a, b = (one.clone().requires_grad_() for one in case.then)
    found = layer_distance(Update(a, b), case.then, case.importance)
    found.backward()
    assert found.item() == 0.0
    assert a.grad is not None and not a.grad.any()
    assert b.grad is not None and not b.grad.any()


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(0, 2**31))
def test_it_does_not_depend_on_how_the_update_is_factored(case: Case, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    rank = len(case.a)
    turned, _ = torch.linalg.qr(torch.randn(rank, rank, generator=random, dtype=torch.float64))
    stretched = turned * 3.0
    one = layer_distance(Update(case.a, case.b), case.then, case.importance)
    other = layer_distance(Update(torch.linalg.inv(stretched) @ case.a, case.b @ stretched), case.then, case.importance)
    assert float(one) == pytest.approx(float(other), rel=1e-3, abs=1e-3)


def test_near_the_champion_it_keeps_its_digits() -> None:
    random = torch.Generator().manual_seed(0)
    then = Update(torch.randn(4, 50, generator=random), torch.randn(60, 4, generator=random) * 10)
    importance = Importance(torch.rand(60, generator=random), torch.rand(50, generator=random))
    b = then.b.clone()
    b[3, 1] += 2**-10  # one weight of one factor, by a number that 32 bits hold
    expected = naive(b.double() @ then.a.double(), then, importance)
    assert float(layer_distance(Update(then.a, b), then, importance)) == pytest.approx(float(expected), rel=1e-4)
