"""What the command lines of benchmarks have in common: numbers that count something, and a loop of the user's."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from wheelwork.core.errors import WheelworkError
from wheelwork.core.loops import Loop, Overrides, load_loop
from wheelwork.core.naming import find_loop


def positive(text: str) -> int:
    """For `type=`: a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


@contextmanager
def refusing() -> Iterator[None]:
    """What cannot be read is one sentence, and the benchmark ends with 2."""
    try:
        yield
    except WheelworkError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def loop_of(ref: str, overrides: Overrides | None = None) -> Loop:
    """The loop that `--loop` names; where it cannot be read, the reason is printed and the benchmark ends with 2."""
    with refusing():
        return load_loop(find_loop(ref), overrides)
