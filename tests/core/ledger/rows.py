"""Suites and entries of a ledger to test with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from wheelwork.core.evaluation.scorers import Item, Matches
from wheelwork.core.evaluation.suites import Suite, SuiteSettings
from wheelwork.core.ledger.entries import Entry, Origin

Kind = Literal["review", "round", "feedback"]


def a_suite(rights: Mapping[str, str], name: str = "holdout", role: Literal["target", "guard"] = "target") -> Suite:
    """A suite of questions with one right label each."""
    settings = SuiteSettings(role=role, path="holdout.jsonl", margin=0.1 if role == "guard" else 0.0)
    items = tuple(Item(id=f"q{n}", prompt=asked, label=right) for n, (asked, right) in enumerate(rights.items()))
    return Suite(name, settings, Path("holdout.jsonl"), items, tuple(range(1, len(items) + 1)), f"digest of {name}")


def an_entry(asked: str, right: str = "yes", kind: Kind = "review", **origin: str) -> Entry:
    """A correction of one label."""
    suite = a_suite({asked: right})
    return Entry.of(suite.items[0], suite, Origin.model_validate({"kind": kind, **origin}))


def entries(count: int, kind: Kind = "review", start: int = 0) -> list[Entry]:
    """`count` corrections of different questions, the labels in turn."""
    return [an_entry(f"question {n}", ("yes", "no")[n % 2], kind) for n in range(start, start + count)]


def a_question(asked: str, answers: Sequence[str]) -> Entry:
    """A correction of another kind: an answer that must stand in the reply, in no prompt."""
    settings = SuiteSettings(role="target", path="open.jsonl", scorer=Matches(), prompt="plain", max_tokens=40)
    item = Item(id="x", prompt=asked, answers=tuple(answers))
    suite = Suite("open", settings, Path("open.jsonl"), (item,), (1,), "d")
    return Entry.of(item, suite, Origin(kind="feedback"))
