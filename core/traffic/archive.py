"""What is asked of the tables, and what is written to them. Nothing here waits, masks or decides."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
import sqlalchemy as sa

from ..digests import SHORT, digest_of
from ..serving.exchange import Exchange, Feedback
from .database import Database, address
from .tables import collected, exchanges, feedback, intents

MANY = 500  # rows or ids that one statement names
OWN = (exchanges.c.key == "") | (exchanges.c.key == feedback.c.key)
"""Feedback by the key that asked: while the database is away nobody can tell, so another's may come in."""
_LOOKED_AT = exchanges.join(intents, intents.c.exchange == exchanges.c.id)
_QUESTION = (intents.c.label != "") & (exchanges.c.messages != "[]")
FIELDS = tuple(name for name in Exchange.model_fields if name != "messages")

Record = Mapping[str, Any]
"""A row by its columns."""


class Voiced(NamedTuple):
    """A stored exchange with all that was said of it, the oldest first."""

    exchange: Exchange
    said: tuple[Feedback, ...]


class Intent(NamedTuple):
    """What one question wanted; see the table."""

    exchange: str
    loop: str
    at: float
    label: str
    how: str
    confidence: float
    served: str | None


class Mark(NamedTuple):
    """What `collect` made of one thing."""

    what: str
    ref: str
    outcome: str


class Archive:
    """The traffic of every loop in one database; in a `with` block it is closed at the end."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._inserts: dict[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]] = {}

    @classmethod
    def of(cls, home: Path, patience: float = 10.0) -> Self:
        """The one that holds the traffic of `home`; `patience` in seconds is for locks of other processes."""
        return cls(Database(address(home), home, patience))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    # writing

    def add(self, asked: Sequence[Exchange], said: Sequence[Feedback] = ()) -> None:
        """Store these; what is there already stays as it is."""
        with self.database.writing() as connection:
            self._insert(connection, exchanges, [row_of(one) for one in asked])
            self._insert(connection, feedback, [feedback_row(one) for one in said])

    def label(self, found: Sequence[Intent]) -> None:
        """Store what questions wanted, in the place of what was thought before."""
        with self.database.writing() as connection:
            rows = [one._asdict() for one in found]
            self._insert(connection, intents, rows, replace=("label", "how", "confidence", "served"))

    def mark(self, loop: str, marks: Iterable[Mark], at: float) -> None:
        """Remember what became of things that were collected."""
        with self.database.writing() as connection:
            rows = [{"loop": loop, "at": at, **one._asdict()} for one in marks]
            self._insert(connection, collected, rows, replace=("at", "outcome"))

    # reading

    def key_of(self, id: str) -> str | None:
        """The name of the key that asked an exchange; None where there is no such exchange."""
        with self.database.reading() as connection:
            found: str | None = connection.execute(sa.select(exchanges.c.key).where(exchanges.c.id == id)).scalar()
        return found

    def loops(self) -> list[str]:
        with self.database.reading() as connection:
            return list(connection.execute(sa.select(exchanges.c.loop).distinct().order_by(exchanges.c.loop)).scalars())

    def voiced(self, loop: str, since: float = 0.0) -> Iterator[Voiced]:
        """The exchanges of a loop that users said something of since then, by the time of the exchange."""
        spoken = sa.select(feedback.c.exchange).where(feedback.c.at >= since)
        where = (exchanges.c.loop == loop) & exchanges.c.id.in_(spoken)
        yield from self._joined(sa.select(exchanges).where(where).order_by(exchanges.c.at, exchanges.c.id))

    def all(self, loop: str, since: float = 0.0) -> Iterator[Voiced]:
        """Every exchange of a loop since then, by time, with what was said of it."""
        where = (exchanges.c.loop == loop) & (exchanges.c.at >= since)
        yield from self._joined(sa.select(exchanges).where(where).order_by(exchanges.c.at, exchanges.c.id))

    def corrected(self, loop: str) -> Iterator[Voiced]:
        """The exchanges of a loop that users corrected, by time."""
        spoken = sa.select(feedback.c.exchange).where(feedback.c.correction.is_not(None))
        where = (exchanges.c.loop == loop) & exchanges.c.id.in_(spoken)
        yield from self._joined(sa.select(exchanges).where(where).order_by(exchanges.c.at, exchanges.c.id))

    def intents_of(self, ids: Sequence[str]) -> dict[str, Intent]:
        """What is known of these exchanges."""
        found: dict[str, Intent] = {}
        with self.database.reading() as connection:
            for at in range(0, len(ids), MANY):
                asked = sa.select(intents).where(intents.c.exchange.in_(ids[at : at + MANY]))
                found |= {row["exchange"]: Intent(**row) for row in connection.execute(asked).mappings()}
        return found

    def unlabelled(self, loop: str, limit: int) -> list[Exchange]:
        """Answered exchanges with texts whose intent is not known, the oldest first."""
        known = sa.select(intents.c.exchange).where(intents.c.exchange == exchanges.c.id).exists()
        asked = (
            sa.select(exchanges)
            .where(exchanges.c.loop == loop, exchanges.c.role != "shadow", exchanges.c.status < 400)
            .where(exchanges.c.messages != "[]", ~known)
            .order_by(exchanges.c.at, exchanges.c.id)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [exchange_of(row) for row in connection.execute(asked).mappings()]

    def intents(self, loop: str, limit: int, since: float = 0.0) -> list[Intent]:
        """What recent questions wanted, the latest first."""
        asked = sa.select(intents).where(intents.c.loop == loop, intents.c.at >= since, intents.c.label != "")
        with self.database.reading() as connection:
            found = connection.execute(asked.order_by(intents.c.at.desc(), intents.c.exchange).limit(limit)).mappings()
            return [Intent(**row) for row in found]

    def questions(self, loop: str, since: float, until: float | None = None) -> Iterator[Exchange]:
        """Questions that could be read and were looked at, by time: those after `since`, and up to `until`."""
        asked = sa.select(exchanges).select_from(_LOOKED_AT).where(_QUESTION, exchanges.c.loop == loop)
        asked = asked.where(exchanges.c.at > since, *([] if until is None else [exchanges.c.at <= until]))
        with self.database.reading() as connection:
            rows = connection.execution_options(yield_per=MANY).execute(asked.order_by(exchanges.c.at, exchanges.c.id))
            for row in rows.mappings():
                yield exchange_of(row)

    def asked_since(self, loop: str, since: float) -> tuple[int, float]:
        """How many of these there are after `since`, and within how many seconds they were asked."""
        asked = sa.select(sa.func.count(), sa.func.max(exchanges.c.at) - sa.func.min(exchanges.c.at))
        asked = asked.select_from(_LOOKED_AT).where(_QUESTION, exchanges.c.loop == loop, exchanges.c.at > since)
        with self.database.reading() as connection:
            count, seconds = connection.execute(asked).one()
        return int(count), float(seconds or 0.0)

    def clusters(self, loop: str, limit: int) -> list[str]:
        """The names of the clusters of a loop without labels, those that were seen last first."""
        asked = (
            sa.select(intents.c.label)
            .where(intents.c.loop == loop, intents.c.how == "cluster")
            .group_by(intents.c.label)
            .order_by(sa.func.max(intents.c.at).desc(), intents.c.label)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return list(connection.execute(asked).scalars())

    def marks(self, loop: str, what: str) -> dict[str, str]:
        """What became of the things of one kind that were collected, by their ids."""
        asked = sa.select(collected.c.ref, collected.c.outcome)
        with self.database.reading() as connection:
            found = connection.execute(asked.where(collected.c.loop == loop, collected.c.what == what))
            return {row.ref: row.outcome for row in found}

    def waiting(self, loop: str) -> int:
        """Corrections that were not collected yet."""
        done = sa.select(collected.c.ref).where(
            collected.c.loop == loop, collected.c.what == "correction", collected.c.ref == feedback.c.id
        )
        asked = (
            sa.select(sa.func.count())
            .select_from(feedback.join(exchanges, exchanges.c.id == feedback.c.exchange))
            .where(exchanges.c.loop == loop, feedback.c.correction.is_not(None), ~done.exists(), OWN)
        )
        with self.database.reading() as connection:
            return int(connection.execute(asked).scalar() or 0)

    def pending(self, loop: str, now: float) -> dict[str, float]:
        """What `settings.due` looks at: `corrections` that wait, and `minutes` since the last collection, if any."""
        asked = sa.select(sa.func.max(collected.c.at))
        with self.database.reading() as connection:
            last = connection.execute(asked.where(collected.c.loop == loop, collected.c.what == "collection")).scalar()
        told: dict[str, float] = {"corrections": self.waiting(loop)}
        return told if last is None else told | {"minutes": max(0.0, (now - last) / 60)}

    # helpers

    def _joined(self, asked: sa.Select[Any]) -> Iterator[Voiced]:
        """`asked` exchanges with what was said of each; read in parts, so that memory does not grow."""
        with self.database.reading() as connection:
            for part in connection.execution_options(yield_per=MANY).execute(asked).mappings().partitions(MANY):
                said = self._said(connection, [row["id"] for row in part])
                for row in part:
                    own = (one for one in said.get(row["id"], ()) if row["key"] in ("", one.key))
                    yield Voiced(exchange_of(row), tuple(own))

    def _said(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Feedback]]:
        found: dict[str, list[Feedback]] = {}
        asked = sa.select(feedback).where(feedback.c.exchange.in_(ids)).order_by(feedback.c.at, feedback.c.id)
        for row in connection.execute(asked).mappings():
            found.setdefault(row["exchange"], []).append(feedback_of(row))
        return found

    def _insert(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Record], replace: tuple[str, ...] = ()
    ) -> None:
        """One statement, prepared once, for all rows; SQLAlchemy's own way looks at each row, which takes 0.03 ms."""
        if not rows:
            return
        if (known := self._inserts.get((table.name, replace))) is None:
            known = self._inserts[table.name, replace] = self._written(connection, table, replace)
        statement, names = known
        told = map(itemgetter(*names), rows) if names else rows
        connection.exec_driver_sql(statement, list(told))

    def _written(
        self, connection: sa.Connection, table: sa.Table, replace: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        """The statement, and its columns in order where it takes values by place; what is there already stays, but
        for columns to `replace`."""
        # a dialect is imported where its database is: Postgres' alone is a twentieth of a second of each start
        insert: Any = import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(table)
        if replace:
            keys = [column.name for column in table.primary_key]
            insert = insert.on_conflict_do_update(
                index_elements=keys, set_={name: insert.excluded[name] for name in replace}
            )
        else:
            insert = insert.on_conflict_do_nothing()
        compiled = insert.compile(dialect=connection.dialect)
        return str(compiled), tuple(compiled.positiontup or ())


def row_of(one: Exchange) -> dict[str, Any]:
    """An exchange as a row of its table."""
    row = {name: getattr(one, name) for name in FIELDS}
    messages = json_of(one.messages)
    return row | {"messages": messages, "size": len(messages) + len(one.reply)}


def exchange_of(row: Any) -> Exchange:
    """An exchange from its row."""
    told = {name: row[name] for name in FIELDS}
    return Exchange.model_construct(messages=tuple(orjson.loads(row["messages"])), **told)


def feedback_row(one: Feedback) -> dict[str, Any]:
    """Feedback as a row of its table, under the id that `feedback_id` gives it."""
    return {"id": feedback_id(one), **one.model_dump()}


def feedback_id(one: Feedback) -> str:
    """Names what was said, when and by whom: equal for what is taken in twice."""
    return digest_of(one.model_dump(mode="json"))[: 2 * SHORT]


def feedback_of(row: Any) -> Feedback:
    """Feedback from its row."""
    return Feedback.model_construct(**{name: row[name] for name in Feedback.model_fields})


def json_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Messages as JSON; numbers that orjson does not write are written all the same."""
    try:
        return orjson.dumps(messages).decode()
    except TypeError:
        return json.dumps(messages, ensure_ascii=False, default=str)
