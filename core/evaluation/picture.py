"""Suites as pictures: which labels are taken for which, and whether a model is as sure as it is right."""

import io
from typing import Any

from ..quality.batch.picture import KEPT, REFERENCE, drawing
from .breakdown import Calibration, Confusion

NUMBERED = 30  # labels up to which the counts stand in the cells
LONGEST = 28  # characters of a label
MOST = 200  # labels that are drawn


def draw_confusion(confusion: Confusion, title: str) -> str:
    """The confusion matrix as SVG, rows by their true label, each shaded by its share of the row.

    Equal matrices give equal bytes. Of more than 200 labels those with the most mistakes are drawn.
    """
    rows = _drawn(confusion)
    columns = [at for at, name in enumerate(confusion.answered) if at in rows or name not in confusion.labels]
    counts = [[confusion.counts[row][column] for column in columns] for row in rows]
    shares = [
        [count / max(1, sum(confusion.counts[row])) for count in line] for row, line in zip(rows, counts, strict=True)
    ]
    side = min(24.0, 2.6 + 0.42 * len(columns))
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(side + 1.6, side), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        _names(axes, [confusion.labels[row] for row in rows], [confusion.answered[column] for column in columns])
        if len(rows) <= NUMBERED:
            _numbers(axes, counts, shares)
        axes.set_xlabel("answered")
        axes.set_ylabel("right answer")
        return _svg(figure)


def draw_calibration(calibration: Calibration, title: str) -> str:
    """The reliability diagram as SVG: accuracy of each bin of confidence, beside what was said."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
        axes.plot([0, 1], [0, 1], color=REFERENCE, linewidth=1.2, linestyle=":", label="as sure as right")
        for one in calibration.bins:
            axes.bar(one.low, one.right, width=one.high - one.low, align="edge", color=KEPT, alpha=0.55, linewidth=0)
            middle = (one.low + one.high) / 2
            axes.annotate(f"{one.n}", (middle, one.right), (0, 4), textcoords="offset points", ha="center", fontsize=8)
        points = [(one.confidence, one.right) for one in calibration.bins]
        axes.plot(*zip(*points, strict=True), color=KEPT, marker="o", markersize=4, linewidth=1.4, label="choices")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.08)
        axes.set_xlabel(f"confidence; expected calibration error {calibration.error:.3f}")
        axes.set_ylabel("share right")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.legend(loc="upper left", frameon=False, fontsize=8)
        return _svg(figure)


def _drawn(confusion: Confusion) -> list[int]:
    """The rows that are drawn, in the order of the labels."""
    every = range(len(confusion.labels))
    wrong = [sum(confusion.counts[row]) - confusion.counts[row][row] for row in every]
    return sorted(sorted(every, key=lambda row: -wrong[row])[:MOST])


def _names(axes: Any, rows: list[str], columns: list[str]) -> None:
    size = 8 if len(rows) <= NUMBERED else 5
    short = [[one if len(one) <= LONGEST else f"{one[: LONGEST - 1]}…" for one in names] for names in (rows, columns)]
    axes.set_yticks(range(len(rows)), short[0], fontsize=size, parse_math=False)
    axes.set_xticks(range(len(columns)), short[1], fontsize=size, rotation=90, parse_math=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _numbers(axes: Any, counts: list[list[int]], shares: list[list[float]]) -> None:
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                colour = "white" if shares[row][column] > 0.6 else "#1b1f24"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
