"""Fields of tables: what must be there and of what type, what is filled in, and numbers far from the others."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.rows.fields import Fields, Type, number_in
from wheelwork.core.quality.rows.outliers import Method, Outliers, distances
from wheelwork.core.samples import Sample
from wheelwork.tests.core.quality.row_texts import context, precision_and_recall, reasons, sample


def row(**controls: Any) -> Sample:
    return sample("what does it draw", controls={name: str(value) for name, value in controls.items()})


# fields


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("text", ["x", "两"], []),
        ("number", ["1", "-1.5", ".5", "2e3", " 7 "], ["1,299", "1_000", "inf", "1e999", "x", "0x1", "²"]),
        ("integer", ["1", "-20"], ["1.0", "1e3", "x"]),
        ("boolean", ["true", "No", "1", "是"], ["2", "maybe"]),
        ("date", ["2026-03-01", "2026-03-01T10:00:00", "2026-03-01 10:00"], ["2026-13-01", "1.3.2026", "soon"]),
    ],
)
def test_a_field_has_its_type(kind: Type, right: list[str], wrong: list[str]) -> None:
    judge = Fields(required={"x": kind})
    assert reasons(judge, *(row(x=value) for value in right)) == [None] * len(right)
    assert reasons(judge, *(row(x=value) for value in wrong)) == ["wrong_type"] * len(wrong)


def test_a_required_field_is_missing_when_it_is_not_there_or_says_nothing() -> None:
    judge = Fields(required={"x": "text"}, optional={"y": "number"})
    rows = [row(), row(x=" "), row(x="N/A"), row(x="未知"), row(x="a"), row(x="a", y="null"), row(x="a", y="b")]
    assert reasons(judge, *rows) == ["missing_field"] * 4 + [None, None, "wrong_type"]
    assert reasons(Fields(required={"x": "text"}, missing=("x",)), row(x="N/A"), row(x="X")) == [None, "missing_field"]


def test_a_missing_field_is_filled_in() -> None:
    judge = Fields(required={"x": "number", "z": "text"}, fill={"x": "0", "z": "none given"})
    kept, dropped, _ = Funnel(filters=(judge,)).split([row(x="-", other="a"), row(x="5", z="b"), row(x="q")], context())
    assert [one.controls for one in kept] == [{"x": "0", "z": "none given", "other": "a"}, {"x": "5", "z": "b"}]
    assert [one.reject_reason for one in dropped] == ["wrong_type"]
    assert kept[0].id == row(x="-", other="a").id


def test_broken_fields_among_clean_ones_are_found() -> None:
    draw = random.Random(0)
    judge = Fields(required={"volts": "number", "day": "date"}, optional={"floor": "integer"})
    good = [row(volts=draw.uniform(1, 9), day=f"2026-05-{draw.randint(10, 28)}", floor=3) for _ in range(300)]
    broken = [{"volts": ""}, {"volts": "n/a"}, {"volts": "4,5"}, {"day": "May 5"}, {"day": "?"}, {"floor": "3.5"}]
    bad = [one.model_copy(update={"controls": one.controls | draw.choice(broken)}) for one in good[:100]]
    assert precision_and_recall(judge, good, bad) == (1, 1)


@given(st.text() | st.floats().map(str) | st.integers().map(str))
def test_a_number_is_finite_or_none(text: str) -> None:
    number = number_in(text)
    assert number is None or np.isfinite(number)


# outliers


@pytest.mark.parametrize("method", ["iqr", "z", "robust_z"])
def test_numbers_far_from_the_others_are_found_and_few_else(method: Method) -> None:
    draw = random.Random(5)
    near = [row(volts=draw.gauss(230, 4), price=draw.lognormvariate(2, 0.2)) for _ in range(2000)]
    far = [row(volts=draw.choice((0, 2300, 400, 110)), price=draw.lognormvariate(2, 0.2)) for _ in range(75)]
    far += [row(volts=draw.gauss(230, 4), price=draw.choice((90, 400))) for _ in range(75)]
    precision, recall = precision_and_recall(Outliers(fields=("volts",), method=method), near, far[:75])
    both = precision_and_recall(Outliers(fields=("volts", "price"), method=method, limit=8), near, far)
    if method == "z":  # far numbers widen the standard deviation that they are measured by
        assert (precision, both[0]) == (1, 1)
        return
    assert min(precision, both[0]) >= 0.98
    assert min(recall, both[1]) >= 0.95


def test_distances_are_those_of_their_definitions() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100])
    assert distances(values, "iqr") == pytest.approx([2 / 4, 1 / 4, 0, 0, 0, 0, 0, 1 / 4, 93 / 4])
    assert distances(values, "z") == pytest.approx(np.abs(values - values.mean()) / values.std())
    assert distances(values, "robust_z")[-1] == pytest.approx(0.6745 * 95 / 2)


def test_what_cannot_be_measured_is_no_outlier() -> None:
    judge = Outliers(fields=("x",), min_rows=4)
    few = [row(x=1), row(x=2), row(x=900), row(y=1)]
    assert reasons(judge, *few) == [None] * 4
    alike = [row(x=5) for _ in range(9)] + [row(x=900)]
    assert reasons(judge, *alike) == [None] * 10
    numbers = [*(row(x=value) for value in range(8)), row(x="n/a"), row(x=9000)]
    assert reasons(judge, *numbers) == [None] * 9 + ["outlier"]


@pytest.mark.parametrize("method", ["iqr", "z", "robust_z"])
@settings(max_examples=60)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=40), st.randoms())
def test_any_numbers_are_judged_alike_in_any_order_and_in_any_batches(
    method: Method, values: list[float], draw: random.Random
) -> None:
    order = list(range(len(values)))
    draw.shuffle(order)
    rows = [row(x=repr(value)) for value in values]
    judge = Outliers(fields=("x",), method=method, min_rows=4)
    found = reasons(judge, *rows)
    assert [found[at] for at in order] == reasons(judge, *(rows[at] for at in order))
    assert found == judge.decide([judge.gather([one], context()) for one in rows], context())
