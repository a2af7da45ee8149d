"""The picture of docs/canary.md: harmless versions, and how soon each rule rolls them back."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .canary_peers import Peers
from .canary_simulations import Ended
from .forgetting_plot import COLOURS
from .gate_plot import drawing


def write_plot(path: Path, ours: Sequence[Ended], others: Sequence[Peers], horizon: int) -> None:
    """Draw the share of harmless trials that were rolled back within so many requests, as SVG."""
    at = np.linspace(0, horizon, 201)
    back = np.array([one.requests if one.how == "rolled_back" else np.inf for one in ours])
    lines = {
        "wheelwork": (back, "-", 2.4),
        "z-test at every request": (_never([one.repeated for one in others]), "--", 1.4),
        "the same, 5% parted among the kinds": (_never([one.spread for one in others]), "-.", 1.4),
    }
    with drawing(path, (8, 3.6)) as figure:
        axes = figure.subplots()
        for number, (name, (requests, style, width)) in enumerate(lines.items()):
            shares = [100 * float((requests <= most).mean()) for most in at]
            axes.plot(at, shares, label=name, color=COLOURS[number], linestyle=style, linewidth=width)
        axes.axhline(5, color="#888888", linewidth=0.8)
        axes.annotate(
            "α = 5%", (horizon, 5), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8, color="#555555"
        )
        axes.set(xlabel="requests, 5% of them to the candidate", ylabel="rolled back, %", ylim=(-1.5, 103))
        axes.set_xlim(0, horizon)
        axes.set_title("The candidate is as good as the stable version: how soon is it rolled back?", loc="left",
                       fontsize=10)  # fmt: skip
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.9))


def _never(requests: Sequence[int]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([float(one) if one else np.inf for one in requests])
