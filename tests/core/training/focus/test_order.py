"""In which order a training reads: every epoch whole, easy before hard, more and more open, rehearsal spread."""

import random
from collections import Counter
from itertools import pairwise
from math import log, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wheelwork.core.training.focus.order import Competence, Due, EasyFirst, Shuffled
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.training.focus.toys import labelled, rows

ORDERS: list[Any] = [
    Shuffled(),
    EasyFirst(epochs=2),
    Competence(),
    Competence(start=0.4, opens_in=3.0),
    Competence(opens_in=0.2),
]
NAN = float("nan")


def due(difficulties: list[float], rehearsals: int = 0) -> list[Due]:
    learn = [Due(place, one, False) for place, one in enumerate(difficulties)]
    return learn + [Due(len(learn) + n, 0.5, True) for n in range(rehearsals)]


difficulties = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]) | st.floats(0.001, 0.999), max_size=40)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.kind} {getattr(order, 'opens_in', '')}")
@given(difficulties=difficulties, rehearsals=st.integers(0, 9), seed=st.integers(0, 99))
def test_every_epoch_holds_each_lesson_once_the_same_for_the_same_seed(
    order: Any, difficulties: list[float], rehearsals: int, seed: int
) -> None:
    given = due(difficulties, rehearsals)
    draws = random.Random(seed), random.Random(seed)
    for epoch in range(4):
        read = order(given, epoch, draws[0])
        assert Counter(read) == Counter(range(len(given)))
        assert read == order(given, epoch, draws[1])


@given(difficulties=difficulties, rehearsals=st.integers(0, 9), seed=st.integers(0, 99))
def test_easy_first_never_goes_back_in_the_first_epoch(difficulties: list[float], rehearsals: int, seed: int) -> None:
    read = EasyFirst()(due(difficulties, rehearsals), 0, random.Random(seed))
    learnt = [difficulties[place] for place in read if place < len(difficulties)]
    assert learnt == sorted(learnt)


def test_equally_hard_ones_come_by_chance_and_later_epochs_are_shuffled() -> None:
    given, draw = due([0.5] * 10 + [0.9] * 10), random.Random(0)
    first, second = (EasyFirst()(given, epoch, draw) for epoch in (0, 1))
    assert set(first[:10]) == set(range(10)) and first[:10] != list(range(10))
    assert set(second[:10]) != set(range(10))


@pytest.mark.parametrize("order", [EasyFirst(), Competence()], ids=["easy first", "competence"])
def test_rehearsal_is_spread_evenly(order: Any) -> None:
    read = order(due([n / 100 for n in range(60)], rehearsals=20), 0, random.Random(0))
    places = [at for at, place in enumerate(read) if place >= 60]
    assert {b - a for a, b in pairwise(places)} == {4}
    assert places[0] == 2


def test_competence_is_the_square_root_of_platanios() -> None:
    order = Competence(start=0.1, opens_in=2.0)
    assert order.competence(0, 100) == pytest.approx(0.1)
    assert order.competence(50, 100) == pytest.approx(sqrt(0.25 * (1 - 0.01) + 0.01))
    assert order.competence(200, 100) == order.competence(900, 100) == 1.0


def test_competence_opens_up() -> None:
    """In each epoch only what is open is read, as long as there is some of it; all is open in the end."""
    count = 400
    given = due([(n + 0.5) / count for n in range(count)])
    order, draw = Competence(start=0.1), random.Random(0)
    first = order(given, 0, draw)
    for position, place in enumerate(first):
        assert given[place].difficulty <= order.competence(position, count) + 1 / count
    early = [given[place].difficulty for place in first[:40]]
    assert max(early) <= order.competence(40, count)
    assert early != sorted(early), "within what is open it is chance"
    second = order(given, 1, draw)
    assert max(given[place].difficulty for place in second[:40]) > 0.8, "the second epoch has all of it open"


def test_a_slow_competence_reads_the_easiest_of_what_is_closed() -> None:
    given = due([(n + 0.5) / 50 for n in range(50)])
    read = Competence(start=0.02, opens_in=100.0)(given, 0, random.Random(0))
    assert read[-10:] == list(range(40, 50))


def test_difficulties_are_places_among_the_others_and_unknown_ones_in_the_middle() -> None:
    samples = [labelled(text=str(n)) for n in range(5)]
    given = rows(samples, loss=[4.0, 0.1, NAN, 2.0, 2.0])
    assert EasyFirst().places(given).tolist() == pytest.approx([0.875, 0.125, 0.5, 0.5, 0.5])
    assert EasyFirst().places(rows(samples)).tolist() == [0.5] * 5
    lengths = rows(samples, tokens=[5, 4, 3, 2, 1])
    assert EasyFirst(difficulty="length").places(lengths).tolist() == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1])


def test_by_label_the_easy_ones_of_each_label_come_first() -> None:
    samples = [labelled(label, text=str(n)) for n, label in enumerate(["wifi", "wifi", "bill", "bill"])]
    given = rows(samples, loss=[0.1, 0.2, 7.0, 8.0])
    assert EasyFirst(by_label=True).places(given).tolist() == [0.25, 0.75, 0.25, 0.75]


def test_rarity_is_of_the_label_and_a_grade_what_was_asked_for() -> None:
    samples = [labelled(label, text=str(n)) for n, label in enumerate(["wifi"] * 3 + ["bill", None])]
    rarity = EasyFirst(difficulty="rarity").values(rows(samples))
    assert rarity[:4] == pytest.approx([-log(3 / 5)] * 3 + [-log(1 / 5)])
    assert np.isnan(rarity[4])
    graded = [labelled(text=grade, controls={"difficulty": grade} if grade else {}) for grade in ("5", "1", "", "odd")]
    assert EasyFirst(difficulty="grade").values(rows(graded))[:2].tolist() == [5, 1]
    assert EasyFirst(difficulty="grade").places(rows(graded)).tolist() == [0.75, 0.25, 0.5, 0.5]


def test_rarity_within_a_label_is_refused() -> None:
    with pytest.raises(ValidationError, match="equally rare"):
        Training.model_validate({"order": {"kind": "easy_first", "difficulty": "rarity", "by_label": True}})
