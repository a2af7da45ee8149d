"""What the benchmark beside others makes of the rows that a system dropped."""

from collections import Counter

from wheelwork.benchmarks.quality_peers import CONTESTS, found


def test_drops_that_may_be_found_too_count_for_neither_recall_nor_precision() -> None:
    near = next(contest for contest in CONTESTS if contest.funnel == "near_duplicates")
    planted = Counter({"": 100, "exact": 40, "near": 20, "garbage": 10})
    gone = Counter({"": 1, "exact": 40, "near": 15, "garbage": 9})
    figures = {figure.metric: figure.value for figure in found("case", "ours", near, gone, planted)}
    assert figures == {"exact: recall": 1.0, "near: recall": 0.75, "precision": 55 / 56, "good rows dropped": 1.0}


def test_a_system_that_drops_nothing_has_no_precision() -> None:
    rules = next(contest for contest in CONTESTS if contest.funnel == "rules")
    figures = found("case", "ours", rules, Counter(), Counter({"": 10, "garbage": 2}))
    assert [figure.metric for figure in figures] == ["garbage: recall", "good rows dropped"]
