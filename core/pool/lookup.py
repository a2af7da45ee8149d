"""A loop's pool, found from what a user calls the loop."""

from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..loops import LoopSettings, read_settings
from ..naming import find_loop
from .store import Pool


class Found(NamedTuple):
    """The pool of a loop, and the loop's folder and settings; its data is not read."""

    pool: Pool
    folder: Path
    settings: LoopSettings


def find_pool(home: Path, ref: str) -> Found:
    """The pool of the loop that `ref` names, empty or not. Raises ConfigError as reading the loop does."""
    folder = find_loop(ref)
    settings = read_settings(folder)
    return Found(Pool(home, settings.name), folder, settings)


def version_of(pool: Pool, name: str | None) -> str:
    """The version that `name` begins, the present one without a name. Raises DataError when there is none."""
    if name is not None:
        return pool.find(name)
    if (head := pool.head()) is None:
        raise DataError(f"the pool of `{pool.loop}` is empty: no round of it has ended here; run `wheelwork improve`")
    return head
