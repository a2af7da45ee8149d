"""What figures are made of, added up by the database: a million exchanges are counted without being carried over."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..serving.exchange import Feedback
from .archive import OWN, Archive, feedback_of
from .retention import DAY
from .tables import exchanges, feedback, intents

HEARD = exchanges.c.role != "shadow"
"""Shadows do not count, as nobody saw them."""
Day = int | None
"""Days from 1970 to the exchange, in UTC; None where days are not told apart."""


class Count(NamedTuple):
    """How many were asked, and of them how many were answered with an error."""

    version: str
    day: Day
    exchanges: int
    errors: int


class Wanted(NamedTuple):
    """Questions that wanted one label, and how many were served with it; the same of those known surely enough."""

    version: str
    day: Day
    label: str
    how: str
    asked: int
    right: int
    sure: int
    agreed: int


class Counting:
    """The exchanges of a loop since a moment, by version, and by day too with `days`."""

    def __init__(self, archive: Archive, loop: str, since: float, *, days: bool) -> None:
        self._archive = archive
        self._where = (exchanges.c.loop == loop) & (exchanges.c.at >= since) & HEARD
        whole = exchanges.c.at / sa.literal_column(str(DAY), sa.Float)
        # a cast cuts off in SQLite, and rounds in Postgres
        floor = whole if archive.database.is_sqlite else sa.func.floor(whole)
        day: sa.ColumnElement[Any] = sa.cast(floor, sa.Integer) if days else sa.literal_column("NULL")
        self._of = (exchanges.c.version, day.label("day"))
        self._groups = (exchanges.c.version, day) if days else (exchanges.c.version,)

    def counts(self) -> list[Count]:
        asked = sa.select(*self._of, sa.func.count(), _number(exchanges.c.status >= 400))
        return [Count._make(row) for row in self._rows(asked.where(self._where).group_by(*self._groups))]

    def latencies(self) -> Iterator[tuple[str, Day, float]]:
        """Version, day and seconds of each answer, in no order."""
        asked = sa.select(*self._of, exchanges.c.latency).where(self._where, exchanges.c.status < 400)
        yield from map(tuple, self._rows(asked))

    def said(self) -> Iterator[tuple[str, Day, Feedback]]:
        """Version and day of an exchange, and what was said of it, the oldest word first."""
        asked = sa.select(*self._of, feedback).join(feedback, feedback.c.exchange == exchanges.c.id)
        ordered = asked.where(self._where, OWN).order_by(feedback.c.at, feedback.c.id)
        for row in self._rows(ordered):
            yield row.version, row.day, feedback_of(row._mapping)

    def wanted(self, sure: float) -> list[Wanted]:
        """What questions wanted, where labels are known; `sure` is the probability that is sure enough."""
        known, served = intents.c.confidence >= sure, intents.c.label == intents.c.served
        told = (sa.func.count(), _number(served), _number(known), _number(known & served))
        asked = sa.select(*self._of, intents.c.label, intents.c.how, *told)
        joined = asked.join(intents, intents.c.exchange == exchanges.c.id).where(
            self._where, intents.c.how != "cluster"
        )
        return [Wanted._make(row) for row in self._rows(joined.group_by(*self._groups, intents.c.label, intents.c.how))]

    def _rows(self, asked: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
        with self._archive.database.reading() as connection:
            yield from connection.execution_options(yield_per=2000).execute(asked)


def _number(which: sa.ColumnElement[bool]) -> sa.Function[int]:
    """How many rows of a group are such; an unknown (NULL) is not."""
    return sa.func.sum(sa.case((which, 1), else_=0))
