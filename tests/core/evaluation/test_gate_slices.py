"""Slices: a part that got worse while the whole got better is seen, and chance in a small part is not taken for it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from wheelwork.core.evaluation.gate import Decision, GateSettings, decide
from wheelwork.core.evaluation.scores import SuiteScores

Cells = tuple[int, int, int, int]  # right both times, lost, won, wrong both times


def sliced(parts: dict[str | None, Cells], role: Any = "target", margin: float = 0.0) -> SuiteScores:
    """A suite whose slices have these numbers of items."""
    reference: list[float] = []
    candidate: list[float] = []
    slices: list[str | None] = []
    for name, (both, losses, wins, neither) in parts.items():
        reference += [1] * (both + losses) + [0] * (wins + neither)
        candidate += [1] * both + [0] * losses + [1] * wins + [0] * neither
        slices += [name] * (both + losses + wins + neither)
    ids = tuple(f"item {i}" for i in range(len(slices)))
    scores = SuiteScores("holdout", role, "d1", ids, ids, tuple(reference), None, tuple(candidate), margin)
    return replace(scores, slices=tuple(slices))


def judge(suite: SuiteScores, *others: SuiteScores, **settings: Any) -> Decision:
    return decide([suite, *others], GateSettings(resamples=500, **settings), look=1, seed=3)


GAIN = (40, 0, 50, 60)
COLLAPSED = sliced({"bills": GAIN, "lines": (10, 12, 0, 8), "wifi": (25, 1, 2, 12)})


def test_a_slice_that_collapsed_is_only_shown_until_a_limit_is_set() -> None:
    decision = judge(COLLAPSED)
    assert decision.verdict == "promoted"
    lines = decision.figures["holdout"].slices["lines"]
    assert (lines.n, lines.base, lines.candidate, lines.delta) == (30, 22 / 30, 10 / 30, -0.4)
    assert (lines.wins, lines.losses, lines.outcome, lines.p_value) == (0, 12, None, None)
    assert lines.ci is not None and lines.ci[0] < -0.4 < lines.ci[1] < 0
    assert list(decision.figures["holdout"].slices) == ["bills", "lines", "wifi"]


def test_a_slice_that_collapsed_rejects_though_the_whole_got_better() -> None:
    decision = judge(COLLAPSED, slice_limit=0.1)
    assert decision.verdict == "rejected"
    figures = decision.figures["holdout"]
    assert {name: one.outcome for name, one in figures.slices.items()} == {
        "bills": "pass",
        "lines": "fail",
        "wifi": "pass",
    }
    assert decision.reasons[0].endswith(
        "slice `lines`: 0.33 against 0.73 (base) on 30 items, -0.40, a drop of 0.1 or more, p = 0.00024 ≤ 0.017"
    )
    assert figures.slices["lines"].alpha == pytest.approx(0.05 / 3)


def test_a_drop_that_is_tolerated_is_no_reason() -> None:
    assert judge(COLLAPSED, slice_limit=0.5).verdict == "promoted"


def test_a_drop_that_may_be_chance_is_a_note() -> None:
    decision = judge(sliced({"bills": GAIN, "lines": (15, 4, 1, 10)}), slice_limit=0.1)
    assert decision.verdict == "promoted"
    assert decision.figures["holdout"].slices["lines"].outcome == "unclear"
    assert decision.notes == (
        "holdout: slice `lines`: 0.53 against 0.63 (base) on 30 items, -0.10, which may be chance: p = 0.19 > 0.025",
    )


def test_a_slice_of_few_items_is_not_tested_and_named() -> None:
    decision = judge(sliced({"bills": GAIN, "lines": (0, 19, 0, 0)}), slice_limit=0.1)
    assert decision.verdict == "promoted"
    figures = decision.figures["holdout"].slices["lines"]
    assert (figures.n, figures.delta, figures.outcome) == (19, -1.0, None)
    assert decision.notes == ("holdout: too few items to test the slices `lines`: at least 20 are needed in each",)
    assert judge(sliced({"bills": GAIN, "lines": (0, 19, 0, 0)}), slice_limit=0.1, slice_min_items=10).verdict == (
        "rejected"
    )


def test_items_of_one_source_are_one_item_of_a_slice() -> None:
    suite = replace(COLLAPSED, groups=tuple("a page" if name == "lines" else item for name, item in
                                            zip(COLLAPSED.slices, COLLAPSED.ids, strict=True)))  # fmt: skip
    decision = judge(suite, slice_limit=0.1)
    assert decision.figures["holdout"].slices["lines"].outcome is None
    assert decision.figures["holdout"].slices["lines"].ci is None


def test_where_a_drop_must_be_excluded_few_items_leave_it_open() -> None:
    suite = sliced({"bills": GAIN, "lines": (20, 0, 0, 5)})
    shown, excluded = (judge(suite, slice_limit=0.05, slice_test=test) for test in ("shown", "excluded"))
    assert (shown.verdict, excluded.verdict) == ("promoted", "inconclusive")
    assert "slice `lines`: 0.80 against 0.80 (base) on 25 items, +0.00, damage may reach" in excluded.reasons[0]
    many = sliced({"bills": GAIN, "lines": (200, 0, 0, 50)})
    assert judge(many, slice_limit=0.05, slice_test="excluded").verdict == "promoted"
    lost = sliced({"bills": GAIN, "lines": (190, 15, 0, 45)})
    assert judge(lost, slice_limit=0.05, slice_test="excluded").verdict == "rejected"
    unknown = judge(sliced({"bills": GAIN, "lines": (3, 0, 0, 0)}), slice_limit=0.05, slice_test="excluded")
    assert unknown.verdict == "inconclusive"
    assert "too few items to test the slices `lines`" in unknown.reasons[0]


def test_slices_of_a_guard_count_too() -> None:
    whole = sliced({"bills": GAIN})
    guard = replace(sliced({"old": (400, 0, 0, 0), "lines": (20, 10, 0, 0)}, "guard", 0.1), name="retention")
    assert judge(whole, guard).verdict == "promoted"
    decision = judge(whole, guard, slice_limit=0.2)
    assert decision.verdict == "rejected"
    assert decision.reasons[0].startswith("retention: ")


def test_slices_never_give_a_pass() -> None:
    worse = sliced({"bills": (40, 30, 0, 30)})
    decision = judge(worse, slice_limit=0.9)
    assert decision.verdict == "rejected"
    assert decision.reasons[0].endswith("which is not better")
    both = judge(worse, slice_limit=0.1)
    assert "which is not better; slice `bills`: 0.40 against 0.70" in both.reasons[0]


def test_a_slice_without_scores_has_no_figures() -> None:
    suite = sliced({"bills": GAIN, "lines": (10, 0, 0, 0)})
    silent = replace(suite, candidate=(*suite.candidate[:-10], *[None] * 10))
    figures = judge(silent, slice_limit=0.1).figures["holdout"].slices["lines"]
    assert (figures.n, figures.unscored, figures.delta, figures.outcome) == (0, 10, None, None)


def test_items_without_a_slice_are_of_none() -> None:
    suite = sliced({"bills": GAIN, None: (10, 0, 0, 0)})
    assert list(judge(suite).figures["holdout"].slices) == ["bills"]
    assert judge(replace(suite, slices=())).figures["holdout"].slices == {}


def test_graded_slices_are_flipped() -> None:
    random = np.random.default_rng(2)
    base = random.uniform(0.3, 0.6, 200)
    candidate = base + np.where(np.arange(200) < 150, 0.1, -0.2) + random.normal(0, 0.02, 200)
    names = tuple("good" if at < 150 else "bad" for at in range(200))
    ids = tuple(map(str, range(200)))
    suite = SuiteScores("holdout", "target", "d", ids, ids, tuple(base), None, tuple(candidate), slices=names)
    assert judge(suite).verdict == "promoted"
    decision = judge(suite, slice_limit=0.1)
    assert decision.verdict == "rejected"
    assert "slice `bad`" in decision.reasons[0]


def test_a_candidate_that_harms_no_slice_is_seldom_accused() -> None:
    random = np.random.default_rng(9)
    accused = 0
    for seed in range(200):
        cells: dict[str | None, Any] = {
            f"slice {at}": tuple(map(int, random.multinomial(30, [0.6, 0.1, 0.1, 0.2]))) for at in range(8)
        }
        decision = decide([sliced(cells)], GateSettings(resamples=100, slice_limit=0.1), look=1, seed=seed)
        accused += any(one.outcome == "fail" for one in decision.figures["holdout"].slices.values())
    assert accused <= 0.05 * 60 + 3 * (60 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("wrong", [{"slice_limit": 0}, {"slice_min_items": 1}, {"slice_test": "maybe"}])
def test_settings_of_slices_are_bounded(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        GateSettings.model_validate(wrong)
