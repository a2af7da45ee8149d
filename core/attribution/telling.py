"""An attribution for people: a line for each group, a table, and what goes into the report of a round."""

from collections.abc import Mapping
from typing import Any

from .findings import Attribution, Cause, Found

CAUSES: dict[Cause, str] = {
    "formatting": "formatting",
    "knowledge_absent": "knowledge absent",
    "contradicting_samples": "contradicting samples",
    "ambiguous_label": "ambiguous label",
    "missing_coverage": "missing coverage",
    "forgotten": "forgotten",
    "unknown": "cause unknown",
}
COLUMNS = ["suite", "along", "group", "failing", "items", "p", "cause", "evidence", "remedy"]
LINES = 5  # in a terminal, beside the line that sums up


def summary_of(found: Attribution | None, followed: str | None) -> dict[str, Any]:
    """What a report holds: the groups in words, what is left, and which attribution the plan of the round followed."""
    if found is None:
        return {"followed": followed} if followed else {}
    return {
        "suites": {
            name: {"scored": one.scored, "failing": one.failing, "other": len(one.other), "notes": list(one.notes)}
            for name, one in found.suites.items()
        },
        "groups": table_rows(found),
        "followed": followed,
    }


def table_rows(found: Attribution) -> list[dict[str, Any]]:
    """A row for each group under COLUMNS; unknown is null."""
    return [
        {
            "suite": suite,
            "along": group.axis,
            "group": group.name,
            "failing": group.failing,
            "items": group.members,
            "p": group.p_value,
            "cause": group.cause,
            "evidence": group.evidence[0].said if group.evidence else None,
            "remedy": remedy_in_words(group),
        }
        for suite, group in found.found
    ]


def remedy_in_words(group: Found) -> str | None:
    """All remedies of a group in one sentence without an end; None where there is none."""
    return "; ".join(remedy.said for remedy in group.remedies) or None


def lines_of(summary: Mapping[str, Any], most: int = LINES) -> list[str]:
    """A line that says how many fail, and one for each of the largest groups; nothing where nothing fails."""
    failing = {name: one for name, one in summary.get("suites", {}).items() if one["failing"]}
    if not failing:
        return []
    told = ", ".join(f"{one['failing']} of {one['scored']} items of {name}" for name, one in failing.items())
    groups = summary["groups"]
    lines = [f"- {_line(row)}" for row in groups[:most]]
    other = sum(one["other"] for one in failing.values())
    rest = [f"{len(groups) - most} smaller groups"] * (len(groups) > most) + [f"{other} in no group"] * bool(other)
    aside = f" ({', '.join(rest)})" if rest and lines else ""
    return [f"Fails {told}{aside}{':' if lines else '; they have nothing in common that was looked for.'}", *lines]


def markdown_of(summary: Mapping[str, Any]) -> str:
    """The section of the page; empty where nothing was measured."""
    suites, groups = summary.get("suites"), summary.get("groups", [])
    if not suites:
        return ""
    head = "| suite | group | failing | p | cause | evidence | remedy |\n|---|---|---|---|---|---|---|"
    rows = [
        " | ".join(
            _cell(text)
            for text in (
                row["suite"],
                f"{row['group']} ({row['along']})",
                f"{row['failing']} of {row['items']}",
                "–" if row["p"] is None else f"{row['p']:.2g}",
                CAUSES[row["cause"]],
                row["evidence"] or "–",
                row["remedy"] or "–",
            )
        )
        for row in groups
    ]
    table = "\n".join([head, *(f"| {row} |" for row in rows)]) + "\n" if rows else ""
    notes = "".join(f"- {name}: {note}.\n" for name, one in suites.items() for note in one["notes"])
    said = "".join(f"- {name}: {_sum_of(one)}.\n" for name, one in suites.items())
    return f"\n## Where it fails, and why\n\n{said}{notes}\n{table}\n"


def _line(row: Mapping[str, Any]) -> str:
    told = f"{row['failing']}× {row['group']}: {CAUSES[row['cause']]}"
    return f"{told}; {row['remedy']}" if row["remedy"] else told


def _sum_of(one: Mapping[str, Any]) -> str:
    if not one["failing"]:
        return f"none of {one['scored']} items fails"
    other = f", {one['other']} of them in no group" if one["other"] else ""
    return f"{one['failing']} of {one['scored']} items fail{other}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
