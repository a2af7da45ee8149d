"""Opening a round: the loop as it is now, locked against another round of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from ..core.errors import BusyError
from ..core.loops import Overrides, find_loop, load_loop
from ..core.pool.store import Pool
from ..core.rounds import Site
from ..core.steps import Step
from ..core.workspace import explaining_disk_errors, home
from .stale import end_stale_runs
from .steps import Steps
from .turn import Turn


@contextmanager
def opened(ref: str, samples: int | None, seed: int | None, from_step: Step | None = None) -> Iterator[Turn]:
    """Open a round of the loop that `ref` names and hold the loop's lock until it ends.

    What is kept of the steps from `from_step` on is not looked up.

    Raises BusyError when another round of the loop is running here, and what `load_loop` raises.
    """
    folder, overrides = find_loop(ref), Overrides(samples=samples, seed=seed)
    loop = load_loop(folder, overrides)
    site = Site(loop=loop.folder, home=home())
    with _alone(loop.name, site):
        end_stale_runs()
        excluded = tuple(sorted(Pool(site.home, loop.name).excluded()))
        loop = load_loop(folder, overrides, excluded) if excluded else loop
        yield Turn(loop, site, Steps(site, from_step), seed, excluded)


@contextmanager
def _alone(name: str, site: Site) -> Iterator[None]:
    """One round of a loop at a time; the lock is the kernel's, so a killed round leaves none behind."""
    path = site.home / "locks" / f"{name}.lock"
    with explaining_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"a round of the loop `{name}` is running already; wait for it, or stop it first") from None
    try:
        yield
    finally:
        lock.release()
