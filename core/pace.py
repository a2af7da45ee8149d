"""How a long step shows itself: how much is done, how fast, what is left, and what it has cost so far."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

WINDOW = 60.0  # seconds that a rate is taken over: what a resumed step finds in its cache comes at once, at first
BURST = 1.0  # seconds in which rows count as come together, such as those that one call brings
LINE_SECONDS = 15.0  # between two lines where no terminal draws a bar

Clock = Callable[[], float]
Money = Callable[[], float]


class Show(Protocol):
    """Hears how much is done, and in a few words what is being done; says it all in words."""

    def __call__(self, done: float, doing: str = "") -> str: ...


def nothing() -> float:
    """The cost of what has no price."""
    return 0.0


@contextmanager
def showing(what: str, total: float, cost: Money = nothing, clock: Clock = time.monotonic) -> Iterator[Show]:
    """Yield a function that hears how many of `total` are done, as often as it likes, and says it in words.

    On a terminal they stand beside a bar, elsewhere in a line every 15 seconds, such as
    `  generate: 66%, 7.9/s, about 16 s left, cost 0.42`.
    """
    console = Console(stderr=True, highlight=False)
    columns = TextColumn("  {task.description:<10}"), BarColumn(), TextColumn("{task.fields[said]}")
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    pace, printed = Pace(total, cost, clock), clock()

    def advance(done: float, doing: str = "") -> str:
        nonlocal printed
        said = f"{doing}, {pace(done)}" if doing else pace(done)
        bar.update(line, completed=done, said=said)
        if not console.is_terminal and clock() - printed >= LINE_SECONDS:
            console.print(f"  {what}: {said}", soft_wrap=True)
            printed = clock()
        return said

    with bar:
        line = bar.add_task(what, total=total, said="")
        yield advance


class Pace:
    """Says in words how far a step is; what cannot be told yet, or is nothing, it leaves out.

    A `total` of 1 is of a step that tells fractions, which have no rate.
    """

    def __init__(self, total: float, cost: Money = nothing, clock: Clock = time.monotonic) -> None:
        self._total = total
        self._cost = cost
        self._clock = clock
        self._bursts = deque([(clock(), 0.0)])  # when each began, and what was done at its end

    def __call__(self, done: float) -> str:
        rate, cost = self._rate(done), self._cost()
        said = [f"{done / max(1, self._total):.0%}"]
        if rate and self._total > 1:
            said.append(f"{rate:,.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min")
        if rate and done < self._total:
            said.append(f"about {_duration((self._total - done) / rate)} left")
        if cost:
            said.append(f"cost {cost:.2f}" if cost >= 0.1 else f"cost {cost:.4f}")
        return ", ".join(said)

    def _rate(self, done: float) -> float:
        """Of a second, from burst to burst; the last one may still go on and does not count. 0 when not known."""
        now, bursts = self._clock(), self._bursts
        if now - bursts[-1][0] >= BURST:
            bursts.append((now, done))
        else:
            bursts[-1] = bursts[-1][0], done
        while len(bursts) > 3 and now - bursts[1][0] > WINDOW:
            bursts.popleft()
        if len(bursts) < 3:
            return 0.0
        (began, before), (ended, after) = bursts[0], bursts[-2]
        return (after - before) / (ended - began)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
