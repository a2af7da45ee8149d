"""Which items flipped each way, slices beside each other, and the picture of all suites."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelwork.core.evaluation.flips import COLUMNS, flip_rows, flips, sentence
from wheelwork.core.evaluation.forest import draw_forest
from wheelwork.core.evaluation.gate import GateSettings, SuiteFigures, decide
from wheelwork.core.evaluation.parts import COLUMNS as SLICE_COLUMNS
from wheelwork.core.evaluation.parts import slice_rows
from wheelwork.core.evaluation.scores import SuiteScores

SCORE = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]))
PAIRS = st.lists(st.tuples(SCORE, SCORE, st.sampled_from(["x", "y"])), max_size=30)


def rows_of(scores: list[float | None], slices: list[str] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "id": f"i{at}",
            "slice": slices[at] if slices else "",
            "prompt": "?",
            "expected": "!",
            "reply": "…",
            "score": one,
        }
        for at, one in enumerate(scores)
    ]


@given(PAIRS)
def test_each_item_is_fixed_broken_or_neither_and_the_other_way_round_it_is_the_opposite(
    pairs: list[tuple[float | None, float | None, str]],
) -> None:
    before, after = (rows_of([pair[side] for pair in pairs]) for side in (0, 1))  # type: ignore[misc]
    found, back = flips("champion", before, after), flips("champion", after, before)
    assert (found.fixed, found.broken) == (back.broken, back.fixed)
    assert not {*found.fixed} & {*found.broken}
    gains = [new - old for old, new, _ in pairs if old is not None and new is not None]
    assert (len(found.fixed), len(found.broken)) == (sum(g > 0 for g in gains), sum(g < 0 for g in gains))
    told = flip_rows("champion", before, after)
    assert [row["id"] for row in told if row["change"] == "fixed"] == [*found.fixed] or len(found.fixed) > 1
    assert {row["id"] for row in told} == {*found.fixed, *found.broken}
    assert all(list(row) == COLUMNS for row in told)


@given(PAIRS.filter(lambda pairs: len({pair[2] for pair in pairs}) > 1))
def test_the_slices_add_up_to_the_whole(pairs: list[tuple[float | None, float | None, str]]) -> None:
    slices = [pair[2] for pair in pairs]
    whole, *parts = slice_rows(
        {
            "base": rows_of([pair[0] for pair in pairs], slices),
            "candidate": rows_of([pair[1] for pair in pairs], slices),
        }
    )
    for column in ("items", "fixed", "broken"):
        assert whole[column] == sum(part[column] for part in parts)
    assert {*whole} == {*SLICE_COLUMNS} and whole["champion"] is None and whole["against"] == "base"


def test_the_worst_losses_stand_first() -> None:
    told = flip_rows("base", rows_of([1.0, 0.0, 0.5, 1.0]), rows_of([0.5, 1.0, 0.5, 0.0]))
    assert [row["id"] for row in told] == ["i3", "i0", "i1"]


def test_a_suite_of_one_slice_has_no_table_of_slices() -> None:
    assert slice_rows({"base": rows_of([1.0]), "candidate": rows_of([0.0])}) == []


def test_a_summary_counts_and_names_and_a_sentence_says_it() -> None:
    told = flips("champion", rows_of([0.0, 1.0, 1.0]), rows_of([1.0, 0.0, 0.0])).summary
    assert told == {
        "against": "champion",
        "fixed": {"n": 1, "ids": ["i0"]},
        "broken": {"n": 2, "ids": ["i1", "i2"]},
    }
    assert sentence("holdout", told) == "holdout: 1 fixed, 2 broken against the champion."
    assert sentence("holdout", flips("base", rows_of([1.0]), rows_of([1.0])).summary) == ""


def test_answers_to_other_items_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="same items"):
        flips("base", rows_of([1.0, 0.0]), rows_of([1.0]))


def figures() -> dict[str, SuiteFigures]:
    def suite(name: str, role: Any, before: list[float], after: list[float], margin: float = 0.0) -> SuiteScores:
        ids = tuple(map(str, range(len(before))))
        return SuiteScores(name, role, "0" * 64, ids, ids, tuple(before), tuple(before), tuple(after), margin)

    target = suite("holdout $x$ & <y>", "target", [0.0] * 40 + [1.0] * 60, [1.0] * 30 + [0.0] * 10 + [1.0] * 60)
    guard = suite("retention", "guard", [1.0] * 90 + [0.0] * 10, [1.0] * 86 + [0.0] * 14, 0.1)
    return decide([target, guard], GateSettings(resamples=200), look=1, seed=0).figures


def test_the_picture_shows_each_suite_with_its_figures_and_is_the_same_each_time() -> None:
    told = figures()
    picture = draw_forest(told, "desk, round 1: promoted")
    assert picture == draw_forest(told, "desk, round 1: promoted")
    for shown in (
        "holdout $x$ &amp; &lt;y&gt;",
        "retention",
        "target, 100 items",
        "0.900",
        "pass",
        "damage that is not",
    ):
        assert shown in picture
    assert picture.index("holdout") < picture.index("retention"), "targets stand first"


def test_a_suite_that_was_not_measured_is_drawn_as_such() -> None:
    nothing = SuiteFigures(role="target", digest="0" * 64, alpha=0.05, outcome="unclear", sentence="")
    picture = draw_forest({"holdout": nothing}, "desk")
    assert "not measured" in picture and "–" in picture
