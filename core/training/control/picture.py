"""A training as a picture: the loss of every step, and of what was held back where anything was."""

import io
from typing import Any

from ...quality.batch.picture import KEPT, REFERENCE, TARGET, drawing
from ..trained import Trained

SMOOTHED = 30  # steps from which on the curve has a smooth one over it
FLAT = 10.0  # a curve whose losses differ by less than so many times needs no logarithm


def draw(trained: Trained, title: str) -> str:
    """The picture as SVG, whose text stays text; equal trainings give equal bytes."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
        _losses(axes, trained.losses)
        _validation(axes, trained)
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats per token)")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.legend(loc="upper right", frameon=False, fontsize=8)
        if trained.stopped:
            figure.supxlabel(f"ended early: {trained.stopped}", fontsize=8, x=0.01, ha="left", parse_math=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()


def _losses(axes: Any, losses: tuple[float, ...]) -> None:
    steps = range(1, len(losses) + 1)
    smooth = len(losses) >= SMOOTHED
    axes.plot(steps, losses, color=KEPT, linewidth=1, alpha=0.35 if smooth else 1, label="training")
    if smooth:
        window = len(losses) // 15
        axes.plot(steps, _means(losses, window), color=KEPT, linewidth=1.8, label=f"training, mean of {window} steps")
    positive = [loss for loss in losses if loss > 0]
    if len(positive) == len(losses) and max(losses) > FLAT * min(losses):
        axes.set_yscale("log")


def _validation(axes: Any, trained: Trained) -> None:
    if trained.validation:
        steps, losses = zip(*trained.validation, strict=True)
        axes.plot(steps, losses, color=REFERENCE, marker="o", markersize=4, linewidth=1.4, label="held back")
    if trained.step and trained.step < len(trained.losses):
        said = f"the adapter: step {trained.step}"
        axes.axvline(trained.step, color=TARGET, linewidth=1, linestyle=":", label=said)


def _means(losses: tuple[float, ...], window: int) -> list[float]:
    """The mean of each loss and of those before it, `window` in all."""
    return [sum(part) / len(part) for n in range(len(losses)) if (part := losses[max(0, n - window + 1) : n + 1])]
