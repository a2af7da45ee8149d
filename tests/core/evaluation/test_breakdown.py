"""Scores taken apart, and the pictures of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.stats import binomtest
from wheelwork.core.evaluation.benchmark import Answered
from wheelwork.core.evaluation.breakdown import Breakdown, breakdown
from wheelwork.core.evaluation.picture import draw_calibration, draw_confusion
from wheelwork.core.evaluation.scorers import Item, Score
from wheelwork.core.evaluation.suites import Suite, SuiteSettings

LABELS = ("line", "bill", "wifi")


def suite_of(items: list[Item], **settings: Any) -> Suite:
    told = SuiteSettings.model_validate({"role": "target", "path": "x"} | settings)
    return Suite("quiz", told, Path("x"), tuple(items), tuple(range(len(items))), "digest", LABELS)


def labelled(pairs: list[tuple[str, str]], **settings: Any) -> Breakdown:
    """What is found where these replies are given to items of these labels."""
    items = [
        Item(id=str(at), prompt="?", label=label, slice=label, difficulty=str(1 + at % 2))
        for at, (label, _) in enumerate(pairs)
    ]
    suite = suite_of(items, **settings)
    scorer: Any = suite.settings.scorer
    replies = tuple(reply for _, reply in pairs)
    scores = tuple(scorer(reply, item) for reply, item in zip(replies, items, strict=True))
    return breakdown(suite, Answered(replies, scores))


def test_each_label_and_difficulty_has_its_mean_and_interval() -> None:
    found = labelled([("line", "line"), ("line", "bill"), ("line", "line"), ("bill", "Bill.")])
    assert [(part.name, part.n, part.mean) for part in found.of("label")] == [("bill", 1, 1.0), ("line", 3, 2 / 3)]
    assert found.of("slice") == ()  # which says the same
    assert [(part.name, part.n, part.mean) for part in found.of("difficulty")] == [("1", 2, 1.0), ("2", 2, 0.5)]
    line = found.of("label")[1]
    wilson = binomtest(2, 3).proportion_ci(0.95, method="wilson")
    assert (line.low, line.high) == pytest.approx((wilson.low, wilson.high))


def test_graded_scores_have_no_such_interval_and_unscored_ones_are_counted() -> None:
    items = [Item(id=str(at), prompt="?", answers=("x",), slice="a") for at in range(3)]
    scores = (Score(0.25), Score(0.75), Score.unscored("no_reply"))
    (part,) = breakdown(suite_of(items, scorer={"kind": "rouge"}), Answered(("", "", ""), scores)).parts
    assert (part.by, part.n, part.unscored, part.mean, part.low, part.high) == ("slice", 2, 1, 0.5, None, None)
    (none,) = breakdown(suite_of(items[:1], scorer={"kind": "rouge"}), Answered(("",), scores[2:])).parts
    assert none.mean is None and none.n == 0


@given(some.lists(some.tuples(some.sampled_from(LABELS), some.sampled_from((*LABELS, "hm", ""))), min_size=1))
def test_the_confusion_matrix_counts_every_item_once(pairs: list[tuple[str, str]]) -> None:
    found = labelled(pairs)
    matrix = found.confusion
    assert matrix is not None and matrix.labels == LABELS
    assert sum(map(sum, matrix.counts)) == len(pairs)
    assert [sum(row) for row in matrix.counts] == [Counter(label for label, _ in pairs)[name] for name in LABELS]
    right = sum(matrix.counts[at][at] for at in range(len(LABELS)))
    assert right == sum(label == reply for label, reply in pairs)
    assert sum(count for *_, count in matrix.mistakes) == len(pairs) - right
    assert ("(no label)" in matrix.answered) == any(reply in ("hm", "") for _, reply in pairs)


def test_a_reply_that_is_no_label_stands_under_other() -> None:
    found = labelled([("line", "hm")], scorer={"kind": "exact_label", "other": "wifi", "labels": LABELS})
    assert found.confusion is not None
    assert found.confusion.answered == LABELS and found.confusion.mistakes == [("line", "wifi", 1)]


def test_repeats_are_all_in_the_matrix() -> None:
    suite = suite_of([Item(id="a", prompt="?", label="line")], temperature=1.0, repeats=2)
    found = breakdown(suite, Answered(("line",), (Score(0.5),), (("line", "bill"),)))
    assert found.confusion is not None and found.confusion.counts[0] == (1, 1, 0)


def chosen(confidences: list[tuple[float, bool]]) -> Breakdown:
    items = [Item(id=str(at), prompt="?", choices=("x", "y"), choice=0) for at in range(len(confidences))]
    scores = tuple(Score(float(right), confidence=sure) for sure, right in confidences)
    replies = tuple("x" if right else "y" for _, right in confidences)
    return breakdown(suite_of(items, scorer={"kind": "multiple_choice"}), Answered(replies, scores))


def test_calibration_by_hand() -> None:
    found = chosen([(0.95, True), (0.95, False), (0.55, True), (1.0, True)]).calibration
    assert found is not None
    assert [(one.low, one.high, one.n) for one in found.bins] == [(0.5, 0.6, 1), (0.9, 1.0, 3)]
    high = found.bins[1]
    assert (high.confidence, high.right) == pytest.approx(((0.95 + 0.95 + 1) / 3, 2 / 3))
    assert found.error == pytest.approx(0.25 * 0.45 + 0.75 * abs(2 / 3 - 2.9 / 3))


@given(some.lists(some.tuples(some.floats(0.01, 1), some.booleans()), min_size=1, max_size=40))
def test_every_item_is_in_the_bin_of_its_confidence(confidences: list[tuple[float, bool]]) -> None:
    found = chosen(confidences).calibration
    assert found is not None and sum(one.n for one in found.bins) == len(confidences)
    assert 0 <= found.error <= 1
    assert all(one.low - 1e-9 <= one.confidence <= one.high + 1e-9 for one in found.bins)


def test_without_labels_or_confidence_there_is_neither_matrix_nor_curve() -> None:
    items = [Item(id="a", prompt="?", answers=("x",))]
    found = breakdown(suite_of(items, scorer={"kind": "matches"}), Answered(("x",), (Score(1.0),)))
    assert found == Breakdown(parts=())


def test_pictures_are_svg_and_the_same_each_time() -> None:
    matrix = labelled([("line", "line"), ("line", "<b>"), ("bill", "wifi")]).confusion
    curve = chosen([(0.95, True), (0.55, False)]).calibration
    assert matrix is not None and curve is not None
    picture = draw_confusion(matrix, "quiz: $answers$ <b>")
    assert picture.startswith("<?xml") and picture == draw_confusion(matrix, "quiz: $answers$ <b>")
    assert "(no label)" in picture and "&lt;b&gt;" in picture
    assert "expected calibration error" in draw_calibration(curve, "quiz")


def test_many_labels_are_drawn_without_numbers() -> None:
    names = tuple(f"label {at}" for at in range(240))
    matrix = labelled([("line", "line")]).confusion
    assert matrix is not None
    counts = tuple(tuple(int(row == column) for column in range(240)) for row in range(240))
    many = matrix.model_copy(update={"labels": names, "answered": names, "counts": counts})
    assert len(draw_confusion(many, "many")) > 10_000
