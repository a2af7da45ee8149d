"""Which items a candidate answers better than before, and which worse: a pair of answers each. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..settings import Setting

COLUMNS = [
    "change", "against", "id", "slice", "prompt", "expected", "before", "after", "score_before", "score_after",
]  # fmt: skip

Rows = Sequence[Mapping[str, Any]]
"""What one model answered: `id`, `reply` and `score` of each item, and what was asked."""


class Flips(Setting):
    """Ids of the items that the candidate scores higher on (`fixed`) and lower (`broken`) than a rival.

    Items that one of the two has no score for are neither.
    """

    against: str
    fixed: tuple[str, ...]
    broken: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.fixed or self.broken)

    @property
    def summary(self) -> dict[str, Any]:
        """As a report holds it."""
        told = {"fixed": self.fixed, "broken": self.broken}
        return {"against": self.against} | {name: {"n": len(ids), "ids": list(ids)} for name, ids in told.items()}


def flips(against: str, before: Rows, after: Rows) -> Flips:
    """Compare the answers of two models to the same items, in the same order.

    A ValueError for answers to other items: that is the caller's slip.
    """
    pairs = _paired(before, after)
    return Flips(
        against=against,
        fixed=tuple(str(new["id"]) for old, new in pairs if _gain(old, new) > 0),
        broken=tuple(str(new["id"]) for old, new in pairs if _gain(old, new) < 0),
    )


def flip_rows(against: str, before: Rows, after: Rows) -> list[dict[str, Any]]:
    """A row under COLUMNS for each item that changed, the largest loss first, the largest gain last."""
    changed = [(_gain(old, new), old, new) for old, new in _paired(before, after) if _gain(old, new)]
    return [
        {
            "change": "fixed" if gain > 0 else "broken",
            "against": against,
            "id": new["id"],
            "slice": new.get("slice", ""),
            "prompt": new.get("prompt", ""),
            "expected": new.get("expected", ""),
            "before": old["reply"],
            "after": new["reply"],
            "score_before": old["score"],
            "score_after": new["score"],
        }
        for gain, old, new in sorted(changed, key=lambda one: one[0])
    ]


def sentence(name: str, told: Mapping[str, Any]) -> str:
    """One line about the flips of a suite, from their summary; empty where nothing flipped."""
    fixed, broken = told["fixed"]["n"], told["broken"]["n"]
    return f"{name}: {fixed} fixed, {broken} broken against the {told['against']}." if fixed or broken else ""


def _paired(before: Rows, after: Rows) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    if [row["id"] for row in before] != [row["id"] for row in after]:
        raise ValueError("the two models did not answer the same items")
    return list(zip(before, after, strict=True))


def _gain(old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    if old["score"] is None or new["score"] is None:
        return 0.0
    return float(new["score"]) - float(old["score"])
