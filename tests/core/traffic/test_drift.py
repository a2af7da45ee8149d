"""Windows of questions, and whether one differs from another: by length, by intent, by meaning; and not by chance."""

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.quality.batch.sides import Side, Vectors
from wheelwork.core.samples import Sample
from wheelwork.core.traffic.drift import HOUR, Asked, Drift, Window, drifted, sentence_of, window_of

FEW = Drift(rows=50, hours=0)
SEEDS = ["modem is red", "bill is high"]


def question(text: str, label: str = "line") -> Sample:
    return Sample.of_turns([("user", text)], task="traffic", origin="human", label=label)


def embed(texts: Sequence[str]) -> Vectors:
    """A place for each text, around one for all that begin alike."""
    found = []
    for text in texts:
        topic, noise = random.Random(text.split()[0]), random.Random(text)
        found.append([topic.gauss(0, 1) + noise.gauss(0, 0.5) for _ in range(12)])
    rows = np.array(found, dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def a_side(draw: random.Random, topics: Sequence[str] = ("modem", "bill"), longest: int = 12, rows: int = 200) -> Side:
    samples = []
    for _ in range(rows):
        topic = draw.choice(topics)
        words = " ".join(f"{draw.randrange(9999)}" for _ in range(draw.randint(3, longest)))
        samples.append(question(f"{topic} {words}", label=topic))
    return Side.of(samples, 500)


# windows


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.0, 60.0, HOUR]), min_size=1, max_size=200),
    rows=st.integers(50, 80),
    hours=st.sampled_from([0.0, 1.0, 5.0]),
)
def test_windows_follow_each_other_whole_and_take_each_question_once(
    gaps: list[float], rows: int, hours: float
) -> None:
    settings = Drift(rows=rows, hours=hours)
    times = np.cumsum(gaps).tolist()
    asked = [Asked(at, question(f"question {number}")) for number, at in enumerate(times)]
    windows: list[Window] = []
    after = -1.0
    while (window := window_of((one for one in asked if one.at > after), settings)) is not None:
        windows.append(window)
        after = window.until
    for window in windows:
        assert window.side.rows == sum(window.since <= at <= window.until for at in times) >= rows
        assert window.until - window.since >= hours * HOUR
    assert all(one.until < other.since for one, other in pairwise(windows))
    rest = [at for at in times if at > after]
    assert not rest or len(rest) < rows or rest[-1] - rest[0] < hours * HOUR


def test_a_window_is_read_no_further_than_it_goes() -> None:
    def endless() -> object:
        number = 0
        while True:
            yield Asked(float(number), question(f"question {number}"))
            number += 1

    window = window_of(endless(), FEW)  # type: ignore[arg-type]
    assert window is not None and (window.since, window.until) == (0.0, 49.0)


def test_of_many_questions_some_are_embedded_and_all_counted() -> None:
    asked = [Asked(float(number), question(f"question {number}")) for number in range(300)]
    window = window_of(asked, Drift(rows=250, hours=0, texts=60))
    assert window is not None and window.side.rows == 250 and len(window.side.texts) == 60


# drift


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        ({"longest": 40}, {"ks", "psi"}),
        ({"topics": ("modem", *["bill"] * 9)}, {"kl"}),
        ({"topics": ("router", "parcel")}, {"kl", "distance"}),
    ],
)
def test_what_changed_is_told(change: dict[str, object], checks: set[str]) -> None:
    before, after = a_side(random.Random(1)), a_side(random.Random(2), **change)  # type: ignore[arg-type]
    found = drifted(after, before, SEEDS, FEW, embed)
    assert checks <= {one.check for one in found}
    assert all(one.outcome == "warn" for one in found)
    assert all(sentence_of(one).endswith(".") and "limit" in sentence_of(one) for one in found)


def test_what_did_not_change_is_not_told() -> None:
    draw = random.Random(7)
    assert not [found for _ in range(40) if (found := drifted(a_side(draw), a_side(draw), SEEDS, FEW, embed))]


def test_an_intent_that_nobody_had_is_finite_and_named() -> None:
    draw = random.Random(3)
    found = drifted(a_side(draw, ("bill", *["parcel"] * 4)), a_side(draw), SEEDS, FEW, embed)
    kl = next(one for one in found if one.check == "kl")
    assert kl.value is not None and np.isfinite(kl.value) and "parcel" in sentence_of(kl)


def test_balance_and_sameness_are_no_drift() -> None:
    draw = random.Random(4)
    lopsided = [a_side(draw, ("modem",) * 19 + ("bill",)) for _ in range(2)]
    assert drifted(*lopsided, SEEDS, FEW, embed) == []
