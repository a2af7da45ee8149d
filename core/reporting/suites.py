"""The suites of a round for people: rows of a table, which items flipped, and links to where they stand."""

from ..evaluation.flips import sentence
from ..rounds import Report

BENCHMARK_PICTURE = "benchmark.svg"
"""Its name among the artifacts of the round's run."""


def figure(value: float | None, digits: int = 3) -> str:
    """A score for people; what is unknown is a dash, never 0."""
    return "–" if value is None else f"{value:.{digits}f}"


def suite_rows(report: Report) -> list[list[str]]:
    """One row a suite, under SUITE_COLUMNS."""
    rows = []
    for name, suite in report.suites.items():
        low, high = suite["ci"] or (None, None)
        change = "–" if suite["delta"] is None else f"{suite['delta']:+.2f}"
        rows.append(
            [
                name,
                suite["role"],
                str(suite["n"]),
                figure(suite["base"]),
                figure(suite["champion"]),
                figure(suite["candidate"]),
                change if low is None else f"{change} [{low:+.2f}, {high:+.2f}]",
                f"{suite['p_value']:.2g}",
                suite["outcome"],
            ]
        )
    return rows


def whole_rows(report: Report) -> list[list[str]]:
    """The same with what a terminal has no room for, under SUITE_COLUMNS and MORE_COLUMNS."""
    rows = []
    for row, suite in zip(suite_rows(report), report.suites.values(), strict=True):
        least, flips = suite.get("min_detectable"), suite.get("flips")
        counts = [str(flips[name]["n"]) for name in ("fixed", "broken")] if flips else ["–", "–"]
        rows.append([*row, figure(least if suite["n"] else None), *counts])
    return rows


def flip_sentences(report: Report) -> list[str]:
    """A line for each suite of which items flipped."""
    told = [sentence(name, suite["flips"]) for name, suite in report.suites.items() if suite.get("flips")]
    return [line for line in told if line]


SUITE_COLUMNS = ["suite", "role", "items", "base", "champion", "candidate", "change [95%]", "p", "outcome"]
MORE_COLUMNS = ["detectable", "fixed", "broken"]


def benchmark_lines(report: Report) -> str:
    """Which items flipped, and links to where they stand and to the picture."""
    if not report.suites:
        return ""
    at = f"{report.mlflow['url']}/artifacts"
    flipped = [
        f"- {sentence(name, suite['flips'])} [Which]({at}/flips/{name}.json)"
        for name, suite in report.suites.items()
        if suite.get("flips") and sentence(name, suite["flips"])
    ]
    notes = [f"- {note}" for note in report.gate.get("notes", ())]
    return "\n".join(["", *flipped, *notes, f"- [All suites in one picture]({at}/{BENCHMARK_PICTURE})", ""])
