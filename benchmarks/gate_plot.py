"""The pictures of docs/gate.md: loops that are fooled, gains that are seen, guards that pass, how a guard decides."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from wheelwork.core.evaluation.gate import GateSettings
from wheelwork.core.evaluation.statistics import spent_alpha
from wheelwork.core.workspace import write_text

from .forgetting_plot import COLOURS
from .gate_rules import OURS, Rule
from .gate_simulations import Life, drawn

MARGIN = 0.015
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))


def write_plots(folder: Path, loops: Mapping[str, Life], rules: Sequence[Rule], rounds: int, seed: int) -> None:
    """Draw all pictures into `folder` as SVG."""
    with drawing(folder / "gate-loops.svg", (8, 4.2)) as figure:
        _fooled(figure.subplots(), loops)
    with drawing(folder / "gate-power.svg", (11, 4.2)) as figure:
        left, right = figure.subplots(1, 2)
        _seen(left, rounds, seed)
        _passed(right, rounds, seed)
    with drawing(folder / "gate-guard.svg", (8, 3)) as figure:
        _decided(figure.subplots())


@contextmanager
def drawing(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """A figure of so many inches that is written to `path` as SVG in the end."""
    import io

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "wheelwork", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_facecolor("white")
        yield figure
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, buffer.getvalue())
    print(f"drawn in {path}")


def _fooled(axes: Any, loops: Mapping[str, Life]) -> None:
    """Of loops without any gain: the share that promoted something in so many rounds, and α."""
    rounds = range(1, 51)
    for at, (name, life) in enumerate(loops.items()):
        shares = [100 * life.fooled_by(number) for number in rounds]
        width = 2.4 if name == OURS.name else 1.4
        axes.plot(rounds, shares, label=name, color=COLOURS[at], linestyle=DASHES[at % len(DASHES)], linewidth=width)
    axes.axhline(5, color="#888888", linewidth=0.8)
    axes.annotate("α = 5%", (50, 5), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8, color="#555555")
    axes.set(xlabel="rounds", ylabel="loops that promoted something, %", ylim=(-1.5, 103), xlim=(0, 51))
    axes.set_title("No candidate is better than the base: how soon is one promoted?", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.45))


def _seen(axes: Any, rounds: int, seed: int) -> None:
    """How often a true gain is promoted, by items and by look."""
    gains = np.linspace(0, 0.1, 21)
    cases = ((200, 1), (2000, 1), (2000, 10), (2000, 50))
    for at, (n, look) in enumerate(cases):
        random = np.random.default_rng(seed)
        shares = [100 * float(OURS.promotes(drawn(rounds, n, gain, random), look).mean()) for gain in gains]
        held = f"{n:,} items, look {look} (α = {spent_alpha(0.05, look):.2g})"
        axes.plot(100 * gains, shares, label=held, color=COLOURS[at], linestyle=DASHES[at])
    axes.axhline(80, color="#888888", linewidth=0.8)
    axes.set(xlabel="true gain, points", ylabel="promoted, %", ylim=(-1.5, 103))
    axes.set_title("A true gain: how often is it seen?", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _passed(axes: Any, rounds: int, seed: int) -> None:
    """How often a guard with true damage passes, by items."""
    damages = np.linspace(0, 0.03, 25)
    for at, n in enumerate((500, 2000, 10_000)):
        random = np.random.default_rng(seed)
        shares = [100 * float(OURS.passes(drawn(rounds, n, -damage, random), MARGIN).mean()) for damage in damages]
        axes.plot(100 * damages, shares, label=f"{n:,} items", color=COLOURS[at], linestyle=DASHES[at])
    axes.axvline(100 * MARGIN, color="#888888", linewidth=0.8)
    axes.annotate(
        "margin", (100 * MARGIN, 100), xytext=(4, -4), textcoords="offset points", fontsize=8, color="#555555"
    )
    axes.axhline(100 * GateSettings().guard_alpha, color="#888888", linewidth=0.8)
    axes.set(xlabel="true damage, points", ylabel="passes, %", ylim=(-1.5, 103))
    axes.set_title("True damage to a guard: how often does it pass?", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _decided(axes: Any) -> None:
    """Four guards: what was seen, how far the damage may reach, and what follows."""
    shown = (
        ("much data, little damage", 0.2, 1.1, "pass"),
        ("much data, too much damage", 1.9, 2.6, "fail: seen ≥ margin"),
        ("some damage, little data", 0.7, 3.2, "unclear: may reach the margin"),
        ("no damage, little data", 0.0, 2.4, "unclear: may reach the margin"),
    )
    colours = {"pass": "#009E73", "fail": "#D55E00", "uncl": "#E69F00"}
    for row, (name, seen, bound, outcome) in enumerate(shown):
        colour = colours[outcome[:4]]
        axes.plot([seen, bound], [row, row], color=colour, linewidth=2)
        axes.plot([seen], [row], "o", color=colour)
        axes.plot([bound], [row], "|", color=colour, markersize=14, markeredgewidth=2)
        axes.annotate(outcome, (3.4, row), va="center", color=colour, fontsize=9)
        axes.annotate(name, (-0.2, row), va="center", ha="right", fontsize=9)
    axes.axvline(1.5, color="#555555", linewidth=1, linestyle="--")
    axes.annotate("margin", (1.5, -0.6), xytext=(4, 0), textcoords="offset points", fontsize=8, color="#555555")
    axes.set(
        xlim=(-2.2, 5.2),
        ylim=(3.6, -0.9),
        yticks=[],
        xticks=[0, 0.5, 1, 1.5, 2, 2.5, 3],
        xlabel="damage, points: ● seen   | at most",
    )
    axes.spines["left"].set_visible(False)
