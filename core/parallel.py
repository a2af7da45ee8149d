"""The same as `map`, in several processes: results in order, a few items under way, nobody left behind."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from .errors import WheelworkError

T = TypeVar("T")
R = TypeVar("R")

STOPS = (signal.SIGINT, signal.SIGTERM)
AHEAD = 2  # items a process that wait for it or for being collected


def cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def in_processes(workers: int) -> Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]:
    """`map` with `workers` processes, which end with it; `work`, items and results are pickled, `work` only once.

    Raises what `work` raises, and WheelworkError when a process was killed.
    """

    def each(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        # spawned, not forked: a process with threads of its own, such as those of a progress bar, cannot be forked
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(work,)
        ) as pool:
            under_way: deque[Future[Any]] = deque()
            try:
                for item in items:
                    with _unstopped():
                        under_way.append(pool.submit(_do, item))
                    if len(under_way) > AHEAD * workers:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            except BrokenProcessPool:
                raise WheelworkError(
                    "a worker process was killed, perhaps for want of memory; run the command again with fewer workers"
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)

    return each


@contextmanager
def _unstopped() -> Iterator[None]:
    """Hold Ctrl-C back while a process is started: one that is only just loading Python would die of it, aloud."""
    if not hasattr(signal, "pthread_sigmask"):  # not on every system
        yield
        return
    resource_tracker.ensure_running()  # Python 3.11 lets the signals through again when it starts this
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_work: Callable[[Any], Any]


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends the others
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """Leave when the parent is gone: one that was killed could not tell us."""
    parent.join()
    os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)
