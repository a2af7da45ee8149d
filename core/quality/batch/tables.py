"""The findings on a batch for a terminal: what warns, and a sentence about the rest."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .findings import COLUMNS, BatchReport, Finding, rows, summary

OUTCOME = COLUMNS.index("outcome")


def warnings(report: BatchReport) -> list[RenderableType]:
    """The findings that warn as a table, if there are any, a summary, and what corrections did."""
    warned = report.of("warn")
    told = [summary(report), *(f"{one.kind}: {one.said}." for one in report.corrections), *report.notes]
    return [*([table(warned, with_outcome=False)] if warned else []), *map(Text, told)]


def table(findings: tuple[Finding, ...] | list[Finding], *, with_outcome: bool = True) -> Table:
    """Findings as a table that 80 columns hold."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    places = [place for place in range(len(COLUMNS)) if with_outcome or place != OUTCOME]
    for place in places:
        numeric = COLUMNS[place] in ("value", "limit", "p")
        shown.add_column(COLUMNS[place], justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for finding, cells in zip(findings, rows(findings), strict=True):
        style = {"warn": "yellow", "unknown": "dim", "fine": ""}[finding.outcome] if with_outcome else ""
        shown.add_row(*(Text(cells[place]) for place in places), style=style)
    return shown
