"""Krippendorff's α against published examples, and what must hold for any ratings."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.quality.review.agreement import Level, krippendorff_alpha

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
every_level = pytest.mark.parametrize("level", LEVELS)


def units(*coders: str) -> list[tuple[Any, ...]]:
    """Ratings of one digit or letter, a line for each coder; a full stop is a value that is missing."""
    values = [[int(sign) if sign.isdigit() else None if sign == "." else sign for sign in coder] for coder in coders]
    return list(zip(*values, strict=True))


# K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections A to C
BINARY = units("0100000010", "1110010000")
NOMINAL = units("aabbdcccedda", "babbbccceddd")
MISSING = units("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


@pytest.mark.parametrize(
    ("ratings", "level", "published"),
    [
        (BINARY, "nominal", 0.095),
        (NOMINAL, "nominal", 0.692),
        (MISSING, "nominal", 0.743),
        (MISSING, "ordinal", 0.815),
        (MISSING, "interval", 0.849),
    ],
)
def test_published_examples(ratings: list[Any], level: Level, published: float) -> None:
    assert krippendorff_alpha(ratings, level) == pytest.approx(published, abs=0.0005)


@pytest.mark.parametrize(
    ("ratings", "level", "by_hand"),
    [
        # totals 1:2 2:2; within units 4 of 4 pairs differ, by chance 2·2·2/(4·3)
        ([(1, 2), (2, 1)], "nominal", 1 - 1 / (2 / 3)),
        # totals 1:3 2:1; within units 2 of 4, by chance 2·3·1/(4·3)
        ([(1, 1), (1, 2)], "nominal", 1 - (2 / 4) / (6 / 12)),
        # totals 1:3 5:1, δ² = 16 on both sides of the fraction
        ([(1, 1), (1, 5)], "interval", 0.0),
        # totals 1:2 2:1 4:1; within: 2·(2−4)²/4 = 2; by chance: 2·(2·1 + 2·9 + 1·4)/12 = 4
        ([(1, 1), (2, 4)], "interval", 0.5),
        # ranks: 1 at 1, 2 at 2.5, 4 at 3.5; within 2·1/4; by chance 2·(2·1.5² + 2·2.5² + 1·1)/12
        ([(1, 1), (2, 4)], "ordinal", 1 - 0.5 / (2 * (4.5 + 12.5 + 1) / 12)),
    ],
)
def test_examples_by_hand(ratings: list[Any], level: Level, by_hand: float) -> None:
    assert krippendorff_alpha(ratings, level) == pytest.approx(by_hand)


@every_level
@pytest.mark.parametrize("ratings", [[], [()], [(1, None), (None, 2)], [(3, 3), (3, 3)], [(3, 3), (4, None)]])
def test_what_cannot_be_told_is_unknown_and_not_a_number(ratings: list[Any], level: Level) -> None:
    assert krippendorff_alpha(ratings, level) is None


@pytest.mark.parametrize(
    ("ratings", "level"),
    [
        ([(1.0, float("nan"))], "interval"),
        ([(1.0, float("inf"))], "nominal"),
        ([("low", "high")], "ordinal"),
        ([("low", "high")], "interval"),
    ],
)
def test_nonsense_is_refused(ratings: list[Any], level: Level) -> None:
    with pytest.raises(ValueError, match=r"the value"):
        krippendorff_alpha(ratings, level)


MARK = st.one_of(st.integers(1, 5), st.none())
RATINGS = st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(MARK, min_size=n, max_size=n), min_size=1, max_size=20))


@given(st.lists(st.integers(1, 5), min_size=2).filter(lambda marks: len(set(marks)) > 1), st.integers(2, 4))
def test_perfect_agreement_is_1(marks: list[int], coders: int) -> None:
    for level in LEVELS:
        assert krippendorff_alpha([[mark] * coders for mark in marks], level) == pytest.approx(1)


@given(RATINGS, st.permutations(range(1, 6)))
def test_names_of_categories_do_not_matter(ratings: list[Sequence[int | None]], names: Sequence[int]) -> None:
    renamed = [[None if mark is None else f"category {names[mark - 1]}" for mark in unit] for unit in ratings]
    assert krippendorff_alpha(renamed) == pytest.approx(krippendorff_alpha(ratings))


@given(RATINGS, st.floats(0.01, 100), st.sampled_from([-1, 1]), st.floats(-50, 50))
def test_unit_and_zero_of_a_scale_do_not_matter(
    ratings: list[Sequence[int | None]], slope: float, sign: int, shift: float
) -> None:
    moved = [[None if mark is None else sign * slope * mark + shift for mark in unit] for unit in ratings]
    assert krippendorff_alpha(moved, "interval") == pytest.approx(krippendorff_alpha(ratings, "interval"), abs=1e-6)


@given(RATINGS)
def test_only_the_order_of_an_ordinal_scale_matters(ratings: list[Sequence[int | None]]) -> None:
    stretched = [[None if mark is None else mark**3 for mark in unit] for unit in ratings]
    assert krippendorff_alpha(stretched, "ordinal") == pytest.approx(krippendorff_alpha(ratings, "ordinal"))


@given(RATINGS, st.randoms(use_true_random=False))
def test_neither_the_order_of_units_nor_that_of_coders_matters(ratings: list[Any], shuffle: random.Random) -> None:
    for level in LEVELS:
        before = krippendorff_alpha(ratings, level)
        shuffled = [shuffle.sample(unit, len(unit)) for unit in shuffle.sample(ratings, len(ratings))]
        assert krippendorff_alpha(shuffled, level) == pytest.approx(before)
        assert before is None or before <= 1


@every_level
def test_coders_who_roll_dice_agree_as_chance_does(level: Level) -> None:
    dice = random.Random(3)
    rolled = [[dice.randint(1, 5) for _ in range(3)] for _ in range(3000)]
    assert krippendorff_alpha(rolled, level) == pytest.approx(0, abs=0.03)
