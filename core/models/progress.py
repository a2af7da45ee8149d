"""How long work shows itself: one callback of ours, and the libraries' own bars and warnings kept quiet."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the bytes done and the bytes in all (0 when nobody knows)."""

Fraction = Callable[[float], None]
"""Called with the part that is done, in [0, 1]."""


def silent(label: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


def ignore(fraction: float) -> None:
    """The fraction callback that shows nothing."""


@contextmanager
def quiet_transformers(report: Fraction = ignore) -> Iterator[None]:
    """Silence the bars, logs and warnings of transformers inside the block; bars call `report` instead.

    The switches are the library's own and global to the process; they are put back at the end. Several bars run one
    after the other, and `report` never goes back.
    """
    from transformers.utils import logging

    # the older of the two GGUF loaders takes its bar straight from tqdm, past the library's own switch
    gguf_loader: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar, verbosity = gguf_loader.tqdm, logging.get_verbosity()
    hook = logging.set_tqdm_hook(_reporting(report))
    gguf_loader.tqdm = logging.tqdm
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        gguf_loader.tqdm = bar
        logging.set_tqdm_hook(hook)


def _reporting(report: Fraction) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], "_Bar"]:
    furthest = 0.0

    def forward(fraction: float) -> None:
        nonlocal furthest
        furthest = max(furthest, fraction)
        report(furthest)

    def make(factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Bar:
        return _Bar(args[0] if args else kwargs.get("iterable", ()), kwargs.get("total"), forward)

    return make


class _Bar:
    """As much of tqdm as transformers uses, drawing nothing."""

    def __init__(self, items: Any, total: int | None, report: Fraction) -> None:
        self._items = items
        self._total = total or (len(items) if hasattr(items, "__len__") else 0)
        self._done = 0
        self._report = report

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self.update()

    def update(self, steps: int = 1) -> None:
        self._done += steps
        if self._total:
            self._report(min(1.0, self._done / self._total))

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None
