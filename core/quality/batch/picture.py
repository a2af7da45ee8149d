"""A batch as a picture: where the kept lie beside the reference, of which labels they are, and how long."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...settings import Setting
from .distance import Components
from .mix import Target
from .sides import Side, Vectors

# of the palette of Okabe & Ito (2008), which people who see fewer colours can tell apart; shapes differ as well
KEPT, REFERENCE, TARGET = "#0072B2", "#E69F00", "#1b1f24"
MOST_BARS, MOST_POINTS, BINS = 16, 1000, 12
LONGEST = 24  # characters of a name
FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "SimHei")


class Bar(Setting):
    """One label or category."""

    name: str
    kept: float
    """Share of the kept rows, in [0, 1]."""
    target: float


class Plot(Setting):
    """What a picture is drawn from; small, whatever the rows."""

    kept: int
    reference: int
    of: str
    points: tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]
    """Of the kept and of the reference, in the first two components; empty where nothing was embedded."""
    shares: tuple[float, ...]
    """Of the variance, along these."""
    bars: tuple[Bar, ...]
    left_out: int
    """Labels or categories that have no bar."""
    edges: tuple[float, ...]
    """Of the bins of words a text."""
    lengths: tuple[tuple[float, ...], tuple[float, ...]]
    """Share of kept and reference rows in each bin."""


def plot_of(
    kept: Side,
    reference: Side,
    target: Target,
    vectors: tuple[Vectors, Vectors] | None,
    components: Components | None,
) -> Plot:
    """The figures of a picture; `vectors` are embeddings of kept and reference, `components` those of both."""
    rows = max(1, sum(kept.categories.values()))
    bars = [
        Bar(name=name, kept=kept.categories.get(name, 0) / rows, target=target.shares.get(name, 0.0))
        for name in sorted({*kept.categories, *target.shares})
    ]
    bars.sort(key=lambda bar: -max(bar.kept, bar.target))
    edges, lengths = _histogram(kept.numbers.get("words"), reference.numbers.get("words"))
    points: tuple[tuple[tuple[float, float], ...], ...] = ((), ())
    if vectors is not None and components is not None and len(components.axes) > 1:
        points = tuple(_points(components.project(side[:MOST_POINTS])) for side in vectors)
    return Plot(
        kept=kept.rows,
        reference=reference.rows,
        of="labels" if kept.labelled else "categories",
        points=(points[0], points[1]),
        shares=tuple(map(float, components.shares[:2])) if components is not None else (),
        bars=tuple(bars[:MOST_BARS]),
        left_out=max(0, len(bars) - MOST_BARS),
        edges=edges,
        lengths=lengths,
    )


def _points(rows: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in rows[:, :2])


def _histogram(
    kept: NDArray[np.float64] | None, reference: NDArray[np.float64] | None
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], tuple[float, ...]]]:
    if kept is None or reference is None or not len(kept) or not len(reference):
        return (), ((), ())
    both = np.concatenate([kept, reference])
    low, top = float(both.min()), float(np.quantile(both, 0.99))  # one long text must not flatten the rest
    width = max(1, round((top - low) / BINS))  # words are whole, and so are bins of them
    edges = np.arange(low, top + width + 0.5, width) - 0.5
    shares = [np.histogram(np.clip(side, low, edges[-1]), edges)[0] / len(side) for side in (kept, reference)]
    ours, theirs = (tuple(map(float, share)) for share in shares)
    return tuple(map(float, edges)), (ours, theirs)


def draw(plot: Plot, title: str) -> str:
    """The picture as SVG, whose text stays text; equal plots give equal bytes."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 5.6), layout="constrained")
        figure.suptitle(_short(title, 90), parse_math=False, fontsize=13, fontweight="bold", x=0.01, ha="left")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.15, 1))
        left, right = halves
        _scatter(left.subplots(), plot)
        above, below = right.subplots(2, 1, height_ratios=(1.7, 1))
        _bars(above, plot)
        _lengths(below, plot)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()


def _scatter(axes: Any, plot: Plot) -> None:
    ours, theirs = plot.points
    axes.set_title("Where they lie", loc="left", fontsize=11)
    if not ours:
        return _nothing(axes, "not known: too few rows, or no encoder")
    axes.scatter(*zip(*ours, strict=True), s=22, c=KEPT, alpha=0.6, linewidths=0, label=f"kept ({plot.kept:,})")
    axes.scatter(
        *zip(*theirs, strict=True),
        s=26,
        marker="^",
        facecolors="none",
        edgecolors=REFERENCE,
        linewidths=1.2,
        label=f"reference ({plot.reference:,})",
    )
    axes.set_xlabel(f"1st principal component, {plot.shares[0]:.0%} of the variance")
    axes.set_ylabel(f"2nd, {plot.shares[1]:.0%}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    _bare(axes)


def _bars(axes: Any, plot: Plot) -> None:
    axes.set_title(f"Of which {plot.of}" + f" ({plot.left_out} more)" * bool(plot.left_out), loc="left", fontsize=11)
    if not plot.bars:
        return _nothing(axes, f"no {plot.of}")
    places = range(len(plot.bars))
    axes.barh(places, [100 * bar.kept for bar in plot.bars], color=KEPT, height=0.7, label="kept")
    axes.scatter([100 * bar.target for bar in plot.bars], places, marker="|", s=130, c=TARGET, label="target", zorder=3)
    axes.set_yticks(places, [_short(bar.name, LONGEST) for bar in plot.bars], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("% of the rows")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8, borderaxespad=0)
    _bare(axes)


def _lengths(axes: Any, plot: Plot) -> None:
    axes.set_title("Words a text", loc="left", fontsize=11)
    if not plot.edges:
        return _nothing(axes, "not known")
    ours, theirs = plot.lengths
    axes.stairs([100 * share for share in ours], plot.edges, fill=True, color=KEPT, alpha=0.6, label="kept")
    axes.stairs([100 * share for share in theirs], plot.edges, color=REFERENCE, linewidth=2, label="reference")
    axes.set_ylabel("% of the rows")
    axes.legend(loc="upper right", frameon=False, fontsize=8)
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _nothing(axes: Any, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color="#667079")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib as this needs it, without a display, a date or a warning about a font that lacks a sign."""
    import logging
    import warnings

    from matplotlib import font_manager, rc_context

    there = set(font_manager.get_font_names())
    rules: dict[Any, Any] = {
        "svg.fonttype": "none",  # a page draws the text with its own fonts, which know more signs
        "svg.hashsalt": "wheelwork",
        "font.family": ["DejaVu Sans", *(name for name in FONTS if name in there)],
    }
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with rc_context(rules), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        log.setLevel(level)
