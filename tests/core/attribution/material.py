"""A small suite, what models answered to it, and what was trained on, for the tests of attribution."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wheelwork.core.attribution.ground import Ground, Learnt
from wheelwork.core.evaluation.scorers import ExactLabel, Item, Matches
from wheelwork.core.evaluation.suites import Suite, SuiteSettings

LABELS = ("billing", "offline", "move_house", "speed")

TOPICS = {
    "billing": "invoice charge money paid twice bank",
    "offline": "router light red connection dead outage",
    "move_house": "new flat address moving boxes landlord",
    "speed": "slow download megabits evening video stutter",
}


def text_of(label: str, number: int, *more: str) -> str:
    """A text of a label: three of its words, a word of its own, and more."""
    topic = TOPICS[label].split()
    chosen = [topic[(number + step) % len(topic)] for step in range(3)]
    return " ".join([*chosen, *more, f"w{label[0]}{number}"])


def item(text: str, label: str | None = None, **more: Any) -> Item:
    return Item(id=text.replace(" ", "-"), prompt=text, label=label, **more)


def suite_of(items: Sequence[Item], **settings: Any) -> Suite:
    """A target suite; labelled where its first item is."""
    told = {"role": "target", "path": "holdout.jsonl", "scorer": ExactLabel() if items[0].label else Matches()}
    return Suite(
        "holdout",
        SuiteSettings.model_validate(told | settings),
        Path("holdout.jsonl"),
        tuple(items),
        tuple(range(1, len(items) + 1)),
        "0" * 64,
    )


def table(suite: Suite, replies: Sequence[str]) -> list[dict[str, Any]]:
    """What a model answered, scored by the suite's own scorer."""
    scorer: Any = suite.settings.scorer
    return [
        {"id": one.id, "reply": reply, "score": scorer(reply, one).value}
        for one, reply in zip(suite.items, replies, strict=True)
    ]


def learnt(rows: Sequence[tuple[str, str]]) -> tuple[Learnt, ...]:
    """Training samples of these texts and labels, with ids that can be read."""
    return tuple(Learnt(f"{at:016x}", text, label, label, label) for at, (text, label) in enumerate(rows))


def ground_of(rows: Sequence[tuple[str, str]], **more: Any) -> Ground:
    return Ground(learnt=learnt(rows), labels=LABELS, **more)


def even_rows(each: int = 10) -> list[tuple[str, str]]:
    """As many training samples of every label."""
    return [(text_of(label, number, "trained"), label) for label in LABELS for number in range(each)]
