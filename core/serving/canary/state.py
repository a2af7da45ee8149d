"""The files of a loop's canary: what is remembered, written by the gateway alone, and what people order of it.

    <home>/canary/<loop>.json            the trial with its evidence: written whole, about once a second
    <home>/canary/<loop>.orders.jsonl    a line for each order of a person, only ever added to, under a lock

So a person's command and a gateway in another process never write the same file. A gateway that is killed loses the
evidence of its last second, and counts nothing twice.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ...errors import DataError
from ...lines import add_lines, read_lines
from ...settings import Setting
from ...workspace import locked, write_text
from .trial import Remembered

PATIENCE = 10.0  # seconds that a person's command waits for another


class Order(Setting):
    """What a person wants done with a trial; it holds for the trial of `candidate` alone."""

    at: float
    by: str
    act: Literal["widen", "hold", "resume", "stop"]
    candidate: str
    reason: str = ""
    everybody: bool = Field(False, description="of `widen`: to all users at once")


class State:
    """The canary files of `loop` in the state folder `home`. Reading makes none."""

    def __init__(self, home: Path, loop: str) -> None:
        self.loop = loop
        self.path = home / "canary" / f"{loop}.json"
        self.orders_path = home / "canary" / f"{loop}.orders.jsonl"
        self._lock = home / "locks" / f"{loop}.canary.lock"
        self._looked: tuple[int, int] | None = None
        self._orders: list[Order] = []

    @cached_property
    def _adapter(self) -> TypeAdapter[Remembered]:
        return TypeAdapter(Remembered)

    def read(self) -> Remembered:
        """What is remembered; nothing without a file. Raises DataError for a file that is damaged."""
        if not self.path.exists():
            return Remembered()
        try:
            return self._adapter.validate_json(self.path.read_bytes())
        except (ValidationError, OSError) as error:
            raise DataError(
                f"{self.path}: the state of the canary cannot be read ({_first(error)}); move the file away: then the "
                "champion is served to everybody, and the next promotion begins a trial"
            ) from None

    def write(self, text: str) -> None:
        """Write what `as_text` made, whole or not at all. Raises WorkspaceError."""
        write_text(self.path, text)

    def as_text(self, remembered: Remembered) -> str:
        return self._adapter.dump_json(remembered).decode()

    def order(self, order: Order) -> int:
        """Add an order; returns its number, from 1. Raises BusyError and WorkspaceError."""
        busy = f"another command gives an order for `{self.loop}`; try again in a moment"
        with locked(self._lock, busy, PATIENCE):
            add_lines(self.orders_path, [order])
            return len(read_lines(self.orders_path, Order, "the canary's orders"))

    def orders(self) -> list[Order]:
        """All orders so far; the file is read when it has changed. Raises DataError for a damaged line."""
        try:
            told = self.orders_path.stat()
        except OSError:
            return []
        if (looked := (told.st_mtime_ns, told.st_size)) != self._looked:
            self._orders = read_lines(self.orders_path, Order, "the canary's orders")
            self._looked = looked
        return self._orders


def _first(error: Exception) -> Any:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
