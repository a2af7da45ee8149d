"""Items of a suite with what the candidate replied: which failed, as what they were answered, which rule was broken."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from ..errors import DataError
from ..evaluation.scorers import ExactLabel, Item, Matches
from ..evaluation.suites import Suite

Rule = Literal["empty", "not_json", "several_labels", "not_alone", "cut_off", "no_label"]
RULES: dict[Rule, str] = {
    "empty": "the reply is empty",
    "not_json": "the reply is not the JSON that was asked for",
    "several_labels": "the reply names several labels",
    "not_alone": "the reply holds the right answer, but not alone",
    "cut_off": "the reply seems to be cut off by the limit of tokens",
    "no_label": "the reply is no known label",
}
"""What each says, for people."""

FULL = 0.75  # of the limit, in words and signs: as few may be as many tokens, since a word has one or more
ENDS = ".!?。！？…}])\"'”’`"
MATCHES = Matches()
PIECES = re.compile(r"\w+|[^\w\s]")
Tables = Mapping[str, Sequence[Mapping[str, Any]]]
"""By model what it answered: rows with `id`, `reply` and `score`, in the order of the items."""


@dataclass(frozen=True, slots=True)
class Case:
    """One scored item with the candidate's reply.

    `right` are the whole answers that would do, `answered` the known label that the reply is, `known_by` who of base
    and champion had it right.
    """

    id: str
    text: str
    reply: str = ""
    failed: bool = False
    right: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    label: str | None = None
    answered: str | None = None
    rule: Rule | None = None
    slice: str | None = None
    difficulty: str | None = None
    passages: tuple[str, ...] = ()
    known_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The labels of a loop, and which of them a reply is, as a suite's own scorer reads it."""

    scorer: ExactLabel
    labels: tuple[str, ...]

    def answered(self, reply: str) -> str | None:
        """The label that `reply` is; a catch-all of the scorer only where it is no other."""
        last = getattr(self.scorer, "other", None)
        for label in sorted(self.labels, key=lambda one: one == last):
            if self.scorer(reply, _labelled(label)).value == 1.0:
                return label
        return None

    def named(self, reply: str) -> list[str]:
        """The labels that stand somewhere in `reply`, without those that are a part of another one there."""
        found = [label for label in self.labels if holds(reply, label)]
        return [one for one in found if not any(one != other and holds(other, one) for other in found)]


def cases_of(suite: Suite, tables: Tables, labels: Sequence[str], right: float) -> tuple[list[Case], int]:
    """The scored items of a suite as cases, and how many items are left out because a score is missing.

    Where every score lies in [0, 1] an item failed whose score is below `right`. Scores of another scale have no such
    line: there an item failed that has a lower score than champion or base. `tables` needs the `candidate`. Raises
    DataError where a table is not that of the suite.
    """
    for model, rows in tables.items():
        if [row["id"] for row in rows] != [item.id for item in suite.items]:
            raise DataError(f"suite `{suite.name}`: the answers of {model} are not to its items; benchmark again")
    known = Known(suite.settings.scorer, tuple(labels)) if isinstance(suite.settings.scorer, ExactLabel) else None
    before = [model for model in ("champion", "base") if model in tables]
    values = [row["score"] for rows in tables.values() for row in rows if row["score"] is not None]
    in_unit = all(0 <= value <= 1 for value in values)
    found: list[Case] = []
    for place, item in enumerate(suite.items):
        score = tables["candidate"][place]["score"]
        if score is None:
            continue
        others = {model: tables[model][place]["score"] for model in before}
        line = right if in_unit else max((one for one in others.values() if one is not None), default=score)
        better = [model for model, one in others.items() if one is not None and one > score]
        knew = tuple(model for model in better if not in_unit or others[model] >= right)
        reply = str(tables["candidate"][place]["reply"])
        found.append(_case(suite, item, reply, failed=score < line, known_by=knew, known=known))
    return found, len(suite.items) - len(found)


def _case(
    suite: Suite, item: Item, reply: str, *, failed: bool, known_by: tuple[str, ...], known: Known | None
) -> Case:
    right = answers_of(item)
    answered = known.answered(reply) if known and failed else None
    # what was read off likelihoods is no text that a model wrote
    written = getattr(suite, "measured_by", "serving engine") == "serving engine"
    wrong = failed and written and answered is None
    rule = broken_rule(reply, right, known, suite.settings.max_tokens) if wrong else None
    return Case(
        id=item.id,
        text=item.prompt,
        reply=reply,
        failed=failed,
        right=right,
        keywords=item.keywords,
        label=item.label,
        answered=answered,
        rule=rule,
        slice=item.slice if item.slice != item.label else None,
        difficulty=getattr(item, "difficulty", None),
        passages=item.passages,
        known_by=known_by if failed else (),
    )


def answers_of(item: Item) -> tuple[str, ...]:
    """The whole answers that are right: the label, one of the choices, or the answers."""
    if (choice := getattr(item, "choice", None)) is not None:
        return (getattr(item, "choices", ())[choice],)
    return (item.label,) if item.label is not None else item.answers


def broken_rule(reply: str, right: Sequence[str], known: Known | None, max_tokens: int) -> Rule | None:
    """The first rule that a wrong reply broke; None where it is in form, and wrong."""
    if not reply.strip():
        return "empty"
    if any(_is_json(answer) for answer in right) and not _is_json(reply):
        return "cut_off" if seems_cut(reply, max_tokens) else "not_json"
    if known is not None and len(known.named(reply)) > 1:
        return "several_labels"
    if any(holds(reply, answer) for answer in right):
        return "not_alone"
    if seems_cut(reply, max_tokens):
        return "cut_off"
    return "no_label" if known is not None else None


def holds(text: str, answer: str) -> bool:
    """Whether `answer` stands in `text` as whole words, as the scorer `matches` finds it."""
    return bool(answer.strip()) and MATCHES(text, _holding(answer)).value == 1.0


def seems_cut(reply: str, max_tokens: int) -> bool:
    """Whether a reply is about as long as it may be and ends without a sign that ends it. An estimate.

    Words and signs are counted, of which there are at most as many as tokens.
    """
    return len(PIECES.findall(reply)) >= FULL * max_tokens and not reply.rstrip().endswith(tuple(ENDS))


@lru_cache(maxsize=4096)
def _holding(answer: str) -> Item:
    return Item(id="-", prompt="-", answers=(answer,))


@lru_cache(maxsize=4096)
def _labelled(label: str) -> Item:
    return Item(id="-", prompt="-", label=label)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
