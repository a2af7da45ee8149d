"""Progress of a long step: a bar in the terminal, a bar on the Prefect page."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from ..core.pace import Money, nothing, showing

PAGE_SECONDS = 3.0  # between two updates of the page


class Advance(Protocol):
    """Hears how much is done, and in a few words what is being done."""

    def __call__(self, done: float, doing: str = "") -> None: ...


@contextmanager
def progress(what: str, total: int, cost: Money = nothing) -> Iterator[Advance]:
    """Yield a function that hears how many of `total` are done, as often as it likes; `cost` is the money so far."""
    page = create_progress_artifact(progress=0.0, description=what)
    shown = time.monotonic()

    with showing(what, total, cost) as show:

        def advance(done: float, doing: str = "") -> None:
            nonlocal shown
            said, now = show(done, doing), time.monotonic()
            if now - shown >= PAGE_SECONDS or done >= total:
                update_progress_artifact(page, 100.0 * done / max(1, total), description=f"{what}: {said}")  # type: ignore[arg-type]
                shown = now

        yield advance


class Hear(Protocol):
    """Hears which part of a step is how far, from 0 to 1, and in a few words what is being done."""

    def __call__(self, part: str, done: float, doing: str = "") -> None: ...


@contextmanager
def stages() -> Iterator[Hear]:
    """Yield a function that hears of a step in parts; each part has a bar of its own."""
    with ExitStack() as stack:
        now: str | None = None
        advance: Advance

        def hear(part: str, done: float, doing: str = "") -> None:
            nonlocal now, advance
            if part != now:
                stack.close()  # the bar of the part before
                now, advance = part, stack.enter_context(progress(part, 1))
            advance(done, doing)

        yield hear
