"""Numbers beside a reference: alarms come as often as they should, and what cannot be told is unknown."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from wheelwork.core.quality.batch.findings import Finding
from wheelwork.core.quality.batch.numbers import NumberChecks, benjamini_hochberg, holm, population_stability
from wheelwork.core.quality.batch.sides import Side
from wheelwork.core.samples import Message, Sample

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(n),
    "words a text": lambda rng, n: rng.poisson(14, n).astype(float),
    "few values": lambda rng, n: rng.integers(0, 4, n).astype(float),
}


def side(values: NDArray[np.float64] | list[float], text: str = "a few words") -> Side:
    turns = [Message(role="user", content=text)]
    return Side.of(Sample.make(turns, task="t", origin="import", scores={"value": float(v)}) for v in values)


def of(findings: list[Finding], check: str, name: str = "value") -> Finding:
    (found,) = [one for one in findings if (one.check, one.of) == (check, name)]
    return found


@pytest.mark.parametrize("sizes", [(60, 60), (96, 141), (1000, 60), (500, 800)], ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_the_stability_index_alarms_as_often_as_alpha_says_where_nothing_changed(
    name: str, sizes: tuple[int, int]
) -> None:
    rng, times = np.random.default_rng(1), 600
    found = [population_stability(DRAWS[name](rng, sizes[0]), DRAWS[name](rng, sizes[1])) for _ in range(times)]
    p_values = np.array([psi.p_value for psi in found if psi is not None])
    assert len(p_values) == times
    # over 3,000 draws these cases alarm 3.0% (sets of 60) to 5.6% of the time: half a row in each bin makes small sets
    # a little shy. The bounds are three standard deviations of 600 draws around these.
    assert 0.009 <= (p_values < 0.05).mean() <= 0.084
    assert np.mean([psi.value for psi in found if psi]) == pytest.approx(
        np.mean([psi.chance for psi in found if psi]), rel=0.15
    )


def test_the_stability_index_sees_a_shift_and_is_the_same_both_ways() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=200), rng.normal(0.8, 1, 200)
    there, back = population_stability(one, other), population_stability(other, one)
    assert there and back and there.p_value < 1e-6 and there.value > 0.25
    assert there == pytest.approx(back)


def test_an_empty_bin_is_not_infinite() -> None:
    found = population_stability(np.zeros(50), np.ones(50))
    assert found and np.isfinite(found.value) and found.p_value < 1e-9


@pytest.mark.parametrize(("one", "other"), [([1.0] * 50, [1.0] * 50), ([1.0, 2, 3], [1.0, 2, 3])])
def test_what_makes_no_two_bins_has_no_index(one: list[float], other: list[float]) -> None:
    assert population_stability(one, other) is None


@given(st.lists(st.floats(0, 1), max_size=30))
def test_p_values_of_several_features_only_rise(p_values: list[float]) -> None:
    for adjusted in (holm(p_values), benjamini_hochberg(p_values)):
        assert all(p - 1e-12 <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(np.array(adjusted)[order]) >= -1e-12).all()
    assert sum(holm(p_values)) >= sum(benjamini_hochberg(p_values)) - 1e-9


def test_holm_as_in_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_change_must_be_both_large_and_no_chance() -> None:
    rng = np.random.default_rng(3)
    many = NumberChecks()(side(rng.normal(0.15, 1, 4000)), side(rng.normal(size=4000)), 0.01, 20)
    assert of(many, "ks").outcome == of(many, "psi").outcome == "fine", "no chance, but small"
    assert (of(many, "ks").p_value or 0) < 0.01
    few = NumberChecks()(side(rng.normal(0.4, 1, 20)), side(rng.normal(size=20)), 0.01, 20)
    assert of(few, "ks").outcome == "fine", "large, but it may be chance"
    shifted = NumberChecks()(side(rng.normal(1.5, 1, 150)), side(rng.normal(size=90)), 0.01, 20)
    assert of(shifted, "ks").outcome == of(shifted, "psi").outcome == "warn"
    assert "median 1.5" in of(shifted, "ks").said


def test_too_few_values_or_values_on_one_side_alone_are_unknown_and_not_fine() -> None:
    plain = Side.of([Sample.make([Message(role="user", content="so it is")], task="t", origin="import")] * 40)
    alone = NumberChecks()(side(np.arange(40.0)), plain, 0.01, 20)
    assert {(one.outcome, one.said) for one in alone if one.of == "value"} == {("unknown", "only the kept has it")}
    few = NumberChecks()(side(np.arange(19.0)), side(np.arange(40.0)), 0.01, 20)
    assert {one.outcome for one in few} == {"unknown"}
    assert of(few, "psi").said == "19 kept and 40 reference values; 20 of each are needed"
    assert of(few, "psi").value is None


def test_what_varies_nowhere_is_not_told() -> None:
    found = NumberChecks()(side(np.arange(40.0)), side(np.arange(40.0)), 0.01, 20)
    assert {one.of for one in found} == {"value"}
