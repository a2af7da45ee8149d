"""Progress of a long step: a bar in the terminal, a bar on the Prefect page."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PAGE_SECONDS = 3.0  # between two updates of the page
LINE_SECONDS = 15.0  # between two lines where no terminal draws a bar

Advance = Callable[[float], None]


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Yield a function that hears how many of `total` are done, as often as it likes."""
    console = Console(stderr=True)
    bar = Progress(
        *(TextColumn("  {task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%")),
        *(TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    page = create_progress_artifact(progress=0.0, description=what)
    started = shown = printed = time.monotonic()

    def advance(done: float) -> None:
        nonlocal shown, printed
        now = time.monotonic()
        bar.update(line, completed=done)
        if now - shown >= PAGE_SECONDS or done >= total:
            update_progress_artifact(page, 100.0 * done / max(1, total))  # type: ignore[arg-type]
            shown = now
        if not console.is_terminal and now - printed >= LINE_SECONDS:
            rate = done / (now - started)
            left = (total - done) / rate if rate else float("inf")
            print(f"  {what}: {done / total:.0%}, about {left:.0f} s left", file=sys.stderr, flush=True)
            printed = now

    with bar:
        line = bar.add_task(what, total=total)
        yield advance
