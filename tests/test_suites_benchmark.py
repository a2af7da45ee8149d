"""What the benchmark beside lm-eval makes of replies and times."""

from pathlib import Path

import pytest
from wheelwork.benchmarks.suites import OURS, THEIRS, Case, Run, figures, scored, shared_tokens
from wheelwork.core.evaluation.scorers import Item
from wheelwork.core.evaluation.suites import Suite, SuiteSettings
from wheelwork.core.samples import Message


def case() -> Case:
    items = tuple(Item(id=name, prompt=name, label=name) for name in ("red", "blue", "green", "grey"))
    suite = Suite("colours", SuiteSettings(role="target", path="x"), Path("x"), items, (1, 2, 3, 4), "digest")
    return Case("demo", suite, lambda suite, item: (Message(role="user", content=item.prompt),))


def test_rates_are_compared_run_by_run_and_replies_item_by_item() -> None:
    ours = [Run(1.0, ("red", "blue", "x", "grey")), Run(2.0, ("red", "blue", "x", "grey"))]
    theirs = [Run(4.0, ("red", "blue ", "y", "no")), Run(4.0, ("red", "blue ", "y", "no"))]
    found = {(one.system, one.metric): one.value for one in figures(case(), {OURS: ours, THEIRS: theirs}, 68, 4)}
    assert found[OURS, "mean score"] == 0.75 and found[THEIRS, "mean score"] == 0.5
    assert found["both", "items with the same reply"] == 50.0  # space around one does not count
    assert found["both", "items with the same score"] == 75.0
    ratios = [value for (_, metric), value in found.items() if metric.startswith(f"times {THEIRS}")]
    assert any(value == pytest.approx(3.0) for value in ratios)  # the middle of 4 and 2


def test_a_reply_is_scored_as_a_round_scores_it() -> None:
    assert scored(case(), ("Red.", "blu", "green", "")) == [1.0, 0.0, 1.0, 0.0]


def test_tokens_that_all_prompts_begin_with() -> None:
    def tokenizer(text: str) -> dict[str, list[str]]:
        return {"input_ids": list(text)}

    assert shared_tokens(["abcd", "abxd", "abc"], tokenizer) == 2
    assert shared_tokens(["abc", "abcd"], tokenizer) == 3
