"""Opening a round: the loop as it is now, locked against another round of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.loops import Overrides, load_loop
from ..core.micro import MicroRound
from ..core.naming import find_loop
from ..core.pool.store import Pool
from ..core.rounds import Site
from ..core.steps import Step
from ..core.workspace import home, locked
from .stale import end_stale_runs
from .steps import Steps
from .turn import Turn


@contextmanager
def opened(
    ref: str,
    samples: int | None,
    seed: int | None,
    from_step: Step | None = None,
    overrides: MicroRound | None = None,
) -> Iterator[Turn]:
    """Open a round of the loop that `ref` names and hold the loop's lock until it ends.

    What is kept of the steps from `from_step` on is not looked up. A micro-round brings its own `overrides`.

    Raises BusyError when another round of the loop is running here, and what `load_loop` raises.
    """
    folder, changed = find_loop(ref), overrides or Overrides(samples=samples, seed=seed)
    loop = load_loop(folder, changed)
    site = Site(loop=loop.folder, home=home())
    busy = f"a round of the loop `{loop.name}` is running already; wait for it, or stop it first"
    with locked(site.home / "locks" / f"{loop.name}.lock", busy):
        end_stale_runs()
        excluded = tuple(sorted(Pool(site.home, loop.name).excluded()))
        loop = load_loop(folder, changed, excluded) if excluded else loop
        yield Turn(loop, site, Steps(site, from_step), seed, excluded, overrides)
