"""The picture of the benchmark on forgetting: what is left of the first group of labels, round by round."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wheelwork.core.workspace import write_text

# the palette of Okabe & Ito (2008), which people who see fewer colours can tell apart; shapes differ as well
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
SHAPES = "osD^vPX<>*"


class Curve(NamedTuple):
    """One remedy: the first group after each round with its interval, and every group at the end."""

    name: str
    first: tuple[tuple[float, float, float], ...]
    last: tuple[float, ...]


def write_plot(path: Path, curves: Sequence[Curve], about: str) -> None:
    """Draw the curves and, beside them, every group after the last round, and write it as SVG."""
    import io

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "wheelwork"}):
        figure = Figure(figsize=(11, 5.2), layout="constrained")
        figure.suptitle(f"What is left of the first labels: {about}", fontsize=13, x=0.01, ha="left")
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        _over_rounds(left, curves)
        _at_the_end(right, curves)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, buffer.getvalue())


def _over_rounds(axes: Any, curves: Sequence[Curve]) -> None:
    width = 0.3
    for at, curve in enumerate(curves):
        aside = width * (at / max(1, len(curves) - 1) - 0.5)  # so that intervals do not hide each other
        places = [number + aside for number in range(1, len(curve.first) + 1)]
        means = [100 * mean for mean, _, _ in curve.first]
        spread = [
            [100 * (mean - low) for mean, low, _ in curve.first],
            [100 * (high - mean) for mean, _, high in curve.first],
        ]
        style = {"color": COLOURS[at % len(COLOURS)], "marker": SHAPES[at % len(SHAPES)]}
        style["linestyle"] = "-" if at < len(COLOURS) else "--"
        axes.errorbar(places, means, yerr=spread, label=curve.name, linewidth=1.3, capsize=2, markersize=5, **style)
    rounds = range(1, len(curves[0].first) + 1) if curves else ()
    axes.set_xticks(list(rounds))
    axes.set(xlabel="after round", ylabel="first group of labels, % right (95%)", ylim=(-3, 103))
    axes.legend(frameon=False, fontsize=8)
    _bare(axes)


def _at_the_end(axes: Any, curves: Sequence[Curve]) -> None:
    groups = len(curves[0].last) if curves else 0
    height = 0.8 / max(1, groups)
    for group in range(groups):
        places = [at + (group - (groups - 1) / 2) * height for at in range(len(curves))]
        shade = ("#0072B2", "#56B4E9", "#c9d6df")[group % 3]
        axes.barh(
            places, [100 * curve.last[group] for curve in curves], height, color=shade, label=f"group {group + 1}"
        )
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="% right after the last round", xlim=(0, 100))
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=max(1, groups))
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
