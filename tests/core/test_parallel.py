"""Several processes as one `map`: order, what is under way, and what goes wrong."""

import os
import signal
from collections.abc import Iterator

import pytest
from wheelwork.core.errors import DataError, WheelworkError
from wheelwork.core.parallel import AHEAD, cores, in_processes


def squared(number: int) -> tuple[int, int]:
    if number == 13:
        raise DataError("13 is not wanted here")
    if number == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number, os.getpid()


def test_results_come_in_order_from_other_processes() -> None:
    found = list(in_processes(2)(squared, range(12)))
    assert [result for result, _ in found] == [number * number for number in range(12)]
    assert os.getpid() not in {process for _, process in found}


def test_items_are_taken_only_when_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    results = iter(in_processes(1)(squared, items()))
    next(results)
    assert len(taken) <= AHEAD + 1


def test_an_error_comes_through_as_it_is() -> None:
    with pytest.raises(DataError, match="13 is not wanted"):
        list(in_processes(1)(squared, [1, 13, 2]))


def test_a_process_that_was_killed_is_told_in_a_sentence() -> None:
    with pytest.raises(WheelworkError, match="a worker process was killed"):
        list(in_processes(1)(squared, [1, 17, 2]))


def test_there_is_a_core() -> None:
    assert cores() >= 1
