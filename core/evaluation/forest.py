"""The suites of a round in one picture: the change of each with its interval, and what it could have shown."""

import io
from collections.abc import Mapping
from typing import Any

from ..quality.batch.picture import KEPT, TARGET, drawing
from .gate import SuiteFigures

# of the palette of Okabe & Ito (2008); the word beside each says the same
COLOURS = {"pass": "#009E73", "fail": "#D55E00", "unclear": "#E69F00"}
LONGEST = 26  # characters of a name
ROW = 0.5  # inches


def draw_forest(figures: Mapping[str, SuiteFigures], title: str) -> str:
    """The forest plot as SVG, whose text stays text; equal figures give equal bytes.

    A row a suite, targets first: the paired change against champion or base with its interval, the margin of a guard
    as a line that the interval must stay right of, the least true gain that a target could have shown as a tick.
    """
    rows = sorted(figures.items(), key=lambda one: one[1].role != "target")
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 1.7 + ROW * max(1, len(rows))), layout="constrained")
        figure.suptitle(title, parse_math=False, fontsize=12, fontweight="bold", x=0.01, ha="left")
        plot, told = figure.subplots(1, 2, width_ratios=(1.3, 1), sharey=True)
        for place, (_, one) in enumerate(rows):
            _interval(plot, place, one)
        _scale(plot, [f"{_short(name)}\n{one.role}, {one.n} items" for name, one in rows])
        _figures(told, [one for _, one in rows])
        if rows:
            _legend(figure, [one for _, one in rows])
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()


def _interval(axes: Any, place: int, one: SuiteFigures) -> None:
    colour = COLOURS[one.outcome]
    if one.delta is None or one.ci is None:
        axes.text(0, place, " not measured", va="center", fontsize=8, color="#667079")
        return
    axes.plot(one.ci, (place, place), color=colour, linewidth=2.4, solid_capstyle="butt", zorder=3)
    axes.plot(one.delta, place, color=colour, marker="s" if one.role == "guard" else "o", markersize=7, zorder=4)
    if one.margin:
        axes.plot((-one.margin, -one.margin), (place - 0.32, place + 0.32), color=COLOURS["fail"], linestyle=":")
    elif one.min_detectable < 1:
        axes.plot(one.min_detectable, place, color=KEPT, marker="|", markersize=13, markeredgewidth=2, zorder=2)


def _scale(axes: Any, names: list[str]) -> None:
    axes.axvline(0, color=TARGET, linewidth=1)
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.set_xlabel("candidate minus champion (before there is one: base), in score points", fontsize=8)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=8, length=0)


def _figures(axes: Any, rows: list[SuiteFigures]) -> None:
    """The figures of each row beside it."""
    columns = ("base", "champion", "candidate", "p", "outcome")
    places = (0.04, 0.22, 0.42, 0.64, 0.83)
    axes.set_axis_off()
    line = axes.get_yaxis_transform()
    for name, x in zip(columns, places, strict=True):
        axes.text(x, -0.75, name, transform=line, fontsize=8, color="#667079", va="bottom")
    for place, one in enumerate(rows):
        p_value = f"{one.p_value:.2g}" if one.n else "–"
        cells = (_figure(one.base), _figure(one.champion), _figure(one.candidate), p_value, one.outcome)
        for text, x in zip(cells, places, strict=True):
            colour = COLOURS[one.outcome] if text == one.outcome else TARGET
            axes.text(x, place, text, transform=line, fontsize=9, color=colour, va="center", parse_math=False)


def _legend(figure: Any, rows: list[SuiteFigures]) -> None:
    from matplotlib.lines import Line2D

    shown = [Line2D([], [], color=TARGET, marker="o", linewidth=2.4, label="target: change, interval")]
    if any(one.role == "guard" for one in rows):
        shown.append(Line2D([], [], color=TARGET, marker="s", linewidth=2.4, label="guard: change, interval"))
    if any(one.margin for one in rows):
        shown.append(Line2D([], [], color=COLOURS["fail"], linestyle=":", label="damage that is not tolerated"))
    if any(not one.margin and one.min_detectable < 1 for one in rows):
        tick: dict[str, Any] = {"marker": "|", "markersize": 11, "markeredgewidth": 2, "linestyle": "none"}
        shown.append(Line2D([], [], color=KEPT, **tick, label="least true gain it could show"))
    figure.legend(handles=shown, loc="outside lower left", ncols=4, frameon=False, fontsize=8)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
