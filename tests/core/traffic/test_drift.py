"""Windows of questions, and whether one differs from another: by length, by intent, by meaning; and not by chance."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.people.nearest_mean import fit_nearest_mean
from wheelwork.core.quality.batch.findings import Finding
from wheelwork.core.quality.batch.sides import Side, Vectors
from wheelwork.core.samples import Sample
from wheelwork.core.traffic.drift import (
    HOUR,
    NEAREST,
    Drift,
    Measured,
    Timed,
    Window,
    drifted,
    left_of,
    measured,
    sentence_of,
    window_of,
)

FEW = Drift(rows=50, hours=0)
SEEDS = ["modem is red", "bill is high"]


def question(text: str) -> Sample:
    return Sample.of_turns([("user", text)], task="traffic", origin="human")


def embed(texts: Sequence[str]) -> Vectors:
    """A place for each text, around one for all that begin alike."""
    found = []
    for text in texts:
        topic, noise = random.Random(text.split()[0]), random.Random(text)
        found.append([topic.gauss(0, 1) + noise.gauss(0, 0.5) for _ in range(12)])
    rows = np.array(found, dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


MODEL = fit_nearest_mean(embed(SEEDS), ["modem", "bill"], [True, True])


def a_window(draw: random.Random, **of: Any) -> Measured:
    return measured(a_side(draw, **of), SEEDS, MODEL, embed)


def a_side(draw: random.Random, topics: Sequence[str] = ("modem", "bill"), longest: int = 12, rows: int = 200) -> Side:
    samples = []
    for _ in range(rows):
        topic = draw.choice(topics)
        words = " ".join(f"{draw.randrange(9999)}" for _ in range(draw.randint(3, longest)))
        samples.append(question(f"{topic} {words}"))
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
    asked = [Timed(at, question(f"question {number}")) for number, at in enumerate(times)]
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
            yield Timed(float(number), question(f"question {number}"))
            number += 1

    window = window_of(endless(), FEW)  # type: ignore[arg-type]
    assert window is not None and (window.since, window.until) == (0.0, 49.0)


def test_of_many_questions_some_are_embedded_and_all_counted() -> None:
    asked = [Timed(float(number), question(f"question {number}")) for number in range(300)]
    window = window_of(asked, Drift(rows=250, hours=0, texts=60))
    assert window is not None and window.side.rows == 250 and len(window.side.texts) == 60


def test_what_is_left_of_a_window_counts_as_long_as_it_is_half() -> None:
    asked = [Timed(float(number), question(f"question {number}")) for number in range(25)]
    side = left_of(asked, FEW)
    assert side is not None and side.rows == 25
    assert left_of(asked[1:], FEW) is None


# drift


def changed(change: dict[str, Any]) -> list[Finding]:
    return drifted(a_window(random.Random(2), **change), a_window(random.Random(1)), FEW)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"longest": 40}, {("ks", "words"), ("psi", "words"), ("ks", "characters")}),
        ({"topics": ("modem", *["bill"] * 9)}, {("kl", "labels")}),
        ({"topics": ("router", "parcel")}, {("ks", NEAREST), ("psi", NEAREST), ("distance", "embeddings")}),
    ],
)
def test_what_changed_is_told(change: dict[str, Any], told: set[tuple[str, str]]) -> None:
    found = [one for one in changed(change) if one.outcome == "warn"]
    assert told <= {(one.check, one.of) for one in found}
    assert all(sentence_of(one).endswith(".") and "limit" in sentence_of(one) for one in found)


def test_what_did_not_change_is_not_told() -> None:
    draw = random.Random(7)
    for _ in range(40):
        found = drifted(a_window(draw), a_window(draw), FEW)
        assert {one.outcome for one in found} == {"fine"}


def test_an_intent_that_nobody_had_is_finite_and_named() -> None:
    draw = random.Random(3)
    recent = a_window(draw)._replace(intents={"bill": 40, "parcel": 160})
    kl = next(one for one in drifted(recent, a_window(draw), FEW) if one.check == "kl")
    assert kl.value is not None and np.isfinite(kl.value) and "parcel" in sentence_of(kl)


def test_what_cannot_be_compared_is_said() -> None:
    draw = random.Random(5)
    many = {f"label {number}": 4 for number in range(50)}
    found = drifted(a_window(draw)._replace(intents=many), a_window(draw)._replace(intents=many), FEW)
    unknown = [one for one in found if one.outcome == "unknown"]
    assert [sentence_of(one) for one in unknown] == [
        "Intents were not compared: 200 kept rows in 50 labels; 250 are needed."
    ]


def test_without_labels_there_are_no_intents_and_without_seeds_no_nearness() -> None:
    draw = random.Random(6)
    sides = [a_side(draw) for _ in range(2)]
    found = drifted(*(measured(side, [], None, embed) for side in sides), FEW)
    assert {one.check for one in found} == {"ks", "psi", "distance"}
    assert NEAREST not in {one.of for one in found}


@pytest.mark.parametrize("alpha", [0.0005, 0.05])
def test_every_check_can_warn_at_each_alpha(alpha: float) -> None:
    settings = Drift(rows=50, hours=0, alpha=alpha)
    recent = a_window(random.Random(2), topics=("router",), longest=40)._replace(intents={"bill": 200})
    before = a_window(random.Random(1))._replace(intents={"modem": 200})
    found = drifted(recent, before, settings)
    assert {one.check for one in found if one.outcome == "warn"} == {"ks", "psi", "kl", "distance"}
