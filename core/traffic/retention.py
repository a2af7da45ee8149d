"""What goes: by age, by number and by size, the oldest first, and what users spoke of last."""

from collections.abc import Sequence

import sqlalchemy as sa

from .archive import MANY, Archive
from .settings import TrafficSettings
from .tables import collected, exchanges, feedback, intents

DAY = 86_400.0


def prune_some(archive: Archive, loop: str, settings: TrafficSettings, now: float) -> int:
    """Delete some hundred exchanges of a loop that are too many or too old; how many they were, 0 when all is well.

    A delete is small, so that nobody waits for it. What users spoke of goes by `feedback_days`; beyond `rows` or
    `megabytes` it goes as well, after all else.
    """
    with archive.database.reading() as connection:  # looking may take a while, and locks nobody out
        ids = _aged(connection, loop, settings, now) or _excess(connection, loop, settings)
        lone = [] if ids else _lone(connection, now - settings.feedback_days * DAY)
    if ids or lone:
        with archive.database.writing() as connection:
            _delete(connection, ids)
            connection.execute(sa.delete(feedback).where(feedback.c.id.in_(lone)))
    if ids:
        archive.database.shrink()
    return len(ids)


def prune(archive: Archive, loop: str, settings: TrafficSettings, now: float) -> int:
    """Delete all that is too old or too many; how many exchanges it was."""
    gone = 0
    while some := prune_some(archive, loop, settings, now):
        gone += some
    return gone


def forget_user(archive: Archive, loop: str, user: str) -> list[str]:
    """Delete every exchange of a user, given by its hash, with all that belongs to it; the ids of the exchanges.

    Questions of others that were put with one of this user's are labelled anew by the next collection, since the name
    of such a group is a question.
    """
    gone: list[str] = []
    while True:
        with archive.database.writing() as connection:
            if archive.database.is_sqlite:  # else what is deleted stays readable in the file until it is written over
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            own = sa.select(exchanges.c.id).where(exchanges.c.loop == loop, exchanges.c.user == user).limit(MANY)
            ids = list(connection.execute(own).scalars())
            if not ids:
                break
            named = sa.select(intents.c.label).where(intents.c.exchange.in_(ids), intents.c.how == "cluster")
            labels = list(connection.execute(named.distinct()).scalars())
            of_clusters = sa.delete(intents).where(intents.c.loop == loop, intents.c.how == "cluster")
            for at in range(0, len(labels), MANY):
                connection.execute(of_clusters.where(intents.c.label.in_(labels[at : at + MANY])))
            _delete(connection, ids)
            gone += ids
    if archive.database.is_sqlite:
        archive.database.checkpoint()
    return gone


def _aged(connection: sa.Connection, loop: str, settings: TrafficSettings, now: float) -> list[str]:
    old = exchanges.c.at < now - settings.days * DAY
    oldest = exchanges.c.at < now - settings.feedback_days * DAY
    asked = sa.select(exchanges.c.id).where(exchanges.c.loop == loop, old, oldest | ~_spoken())
    return list(connection.execute(asked.order_by(exchanges.c.at).limit(MANY)).scalars())


def _excess(connection: sa.Connection, loop: str, settings: TrafficSettings) -> list[str]:
    """The oldest of those above the bounds: first such that nobody spoke of."""
    if settings.rows is None and settings.megabytes is None:
        return []
    total = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(exchanges.c.size), 0))
    rows, size = connection.execute(total.where(exchanges.c.loop == loop)).one()
    many = 0 if settings.rows is None else rows - settings.rows
    large = 0.0 if settings.megabytes is None else size - settings.megabytes * 1e6
    if many <= 0 and large <= 0:
        return []
    asked = sa.select(exchanges.c.id, exchanges.c.size).where(exchanges.c.loop == loop).order_by(exchanges.c.at)
    found = connection.execute(asked.where(~_spoken()).limit(MANY)).all()
    found = found or connection.execute(asked.limit(MANY)).all()
    ids: list[str] = []
    for id, of_it in found:
        if many <= 0 and large <= 0:
            break
        ids.append(id)
        many, large = many - 1, large - of_it
    return ids


def _spoken() -> sa.ColumnElement[bool]:
    return sa.select(feedback.c.id).where(feedback.c.exchange == exchanges.c.id).exists()


def _delete(connection: sa.Connection, ids: Sequence[str]) -> None:
    if ids:
        said = sa.select(feedback.c.id).where(feedback.c.exchange.in_(ids))
        connection.execute(sa.delete(collected).where(collected.c.ref.in_(said)))
        connection.execute(sa.delete(feedback).where(feedback.c.exchange.in_(ids)))
        connection.execute(sa.delete(intents).where(intents.c.exchange.in_(ids)))
        connection.execute(sa.delete(exchanges).where(exchanges.c.id.in_(ids)))


def _lone(connection: sa.Connection, before: float) -> list[str]:
    """Ids of what was said of exchanges that never came in, as they were dropped."""
    there = sa.select(exchanges.c.id).where(exchanges.c.id == feedback.c.exchange).exists()
    asked = sa.select(feedback.c.id).where(feedback.c.at < before, ~there)
    return list(connection.execute(asked.limit(MANY)).scalars())
