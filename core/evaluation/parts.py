"""A suite part by part: base, champion and candidate on each slice, with the paired change. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from .flips import Rows
from .verdicts import SliceFigures

COLUMNS = [
    "slice", "items", "base", "champion", "candidate", "against", "delta", "ci_low", "ci_high", "fixed", "broken",
    "p_value", "min_detectable", "outcome",
]  # fmt: skip
"""The same in every round, also where there is no champion, so that tables of rounds can be laid side by side."""


def slice_rows(tables: Mapping[str, Rows], judged: Mapping[str, SliceFigures] | None = None) -> list[dict[str, Any]]:
    """A row under COLUMNS for each slice of a suite, and one of all; `tables` are the answers by model.

    Means are over the items of the slice that have a score; `delta` is candidate minus champion (before there is one,
    base) over those that both have a score for; interval, test and outcome are those of the gate, as far as it `judged`
    a slice. What is unknown is None. Nothing where the suite has one slice.
    """
    rival = "champion" if "champion" in tables else "base"
    places: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(tables["candidate"]):
        places[row.get("slice") or ""].append(at)
    if len(places) < 2:
        return []
    parts = {"(all)": list(range(len(tables["candidate"])))} | dict(sorted(places.items()))
    return [
        _row(name or "(none)", own, tables, rival) | _judged((judged or {}).get(name)) for name, own in parts.items()
    ]


def _row(name: str, places: Sequence[int], tables: Mapping[str, Rows], rival: str) -> dict[str, Any]:
    scores = {model: [rows[at]["score"] for at in places] for model, rows in tables.items()}
    gains = [
        new - old
        for old, new in zip(scores[rival], scores["candidate"], strict=True)
        if old is not None and new is not None
    ]
    return {
        "slice": name,
        "items": len(places),
        **{model: _mean(scores.get(model, ())) for model in ("base", "champion", "candidate")},
        "against": rival,
        "delta": _mean(gains),
        "fixed": sum(gain > 0 for gain in gains),
        "broken": sum(gain < 0 for gain in gains),
    }


def _judged(one: SliceFigures | None) -> dict[str, Any]:
    low, high = (one.ci if one else None) or (None, None)
    told = {name: getattr(one, name, None) for name in ("p_value", "min_detectable", "outcome")}
    return {"ci_low": low, "ci_high": high} | told


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
