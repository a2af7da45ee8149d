"""One traffic database: SQLite in WAL by default, Postgres by URL, brought to the present tables when it is opened."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ..errors import ConfigError
from ..workspace import explaining_disk_errors, locked
from .tables import HEAD

URL = "WHEELWORK_TRAFFIC_URL"
MIGRATING = 7_341_985  # of Postgres's advisory lock; any number that is nobody else's
PATIENCE = 60.0  # seconds that one process waits for another to change the tables


def address(home: Path) -> sa.URL:
    """Where the traffic of `home` is kept: `WHEELWORK_TRAFFIC_URL`, by default `traffic.db` in the folder.

    Raises ConfigError for an address of another kind.
    """
    told = os.environ.get(URL, "").strip()
    if not told:
        return sa.URL.create("sqlite", database=str(home / "traffic.db"))
    known = "sqlite:///FILE or postgresql://USER@HOST/NAME"
    try:
        url = sa.make_url(told)
    except ArgumentError:
        raise ConfigError(f"{URL} is no address of a database; write {known}") from None
    kind = url.get_backend_name()
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or not url.database or url.database == ":memory:":
        raise ConfigError(f"{URL}: traffic is not kept in {url.render_as_string(hide_password=True)}; write {known}")
    return url


class Database:
    """The database at `url`. Nothing is opened or made before it is read, written or `opened`.

    `patience` is how many seconds it waits for a lock of another process. Methods raise what AWAY of
    `trouble.py` lists, and ConfigError for a database that a later release has made.
    """

    def __init__(self, url: sa.URL, home: Path, patience: float = 10.0) -> None:
        self.url = url
        self._lock = home / "locks" / "traffic.lock"
        self._patience = patience
        self._engine: sa.Engine | None = None
        self._inode: int | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """For people; without a password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database."""
        with self.opened().connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction: all of it, or nothing where the block raises."""
        with self.opened().connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def opened(self) -> sa.Engine:
        """The engine, with the present tables. A file that went away is made anew, not written to unseen."""
        if self._engine is not None and self._inode is not None and self._inode != _inode(Path(str(self.url.database))):
            self.close()
        if self._engine is None:
            engine = self._connectable()
            try:
                self._migrate(engine)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
            self._inode = _inode(Path(str(self.url.database))) if self.is_sqlite else None
        return self._engine

    def shrink(self) -> None:
        """Give back a little of the room that deleted rows left; Postgres does so by itself."""
        self._outside("PRAGMA incremental_vacuum(1000)")

    def checkpoint(self) -> None:
        """Empty SQLite's journal into the file, so that what was overwritten there is gone from both."""
        self._outside("PRAGMA wal_checkpoint(TRUNCATE)")

    def _outside(self, pragma: str) -> None:
        """Run a statement of SQLite outside of any transaction, with all that it returns."""
        if self.is_sqlite:
            raw = self.opened().raw_connection()
            try:
                cursor = raw.cursor()
                cursor.execute(pragma)
                cursor.fetchall()
            finally:
                raw.close()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        self._engine = None

    def _connectable(self) -> sa.Engine:
        if not self.is_sqlite:
            # a server that hangs is one that is away
            options = {"connect_timeout": 3, "options": "-c statement_timeout=10000", "tcp_user_timeout": 5000}
            try:
                return sa.create_engine(self.url, pool_pre_ping=True, hide_parameters=True, connect_args=options)
            except (NoSuchModuleError, ImportError):
                raise ConfigError(f"{URL} names Postgres; run `pip install wheelwork[postgres]`") from None
        folder = Path(str(self.url.database)).resolve().parent
        with explaining_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # errors must not tell what users wrote: parameters stay out of them
        engine = sa.create_engine(self.url, hide_parameters=True, connect_args={"timeout": self._patience})
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _migrate(self, engine: sa.Engine) -> None:
        """Bring the tables to HEAD; nothing where they are there. One process at a time."""
        with engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
        busy = "the tables of the traffic database are being changed by another process; wait for it"
        with (
            locked(self._lock, busy, PATIENCE),
            engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:  # processes on several machines share it
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({MIGRATING})"))
            upgrade(connection, HEAD)


def upgrade(connection: sa.Connection, to: str) -> None:
    """Run the revisions up to `to` that the database lacks. Raises ConfigError where it has one that is not known."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError:
        raise ConfigError(
            f"the traffic database has the tables of another release (revision {_revision(connection)}); install that "
            f"release, or name another database with {URL}"
        ) from None


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("traffic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM traffic_version")).scalar()
    return found


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say, see `_begin`
    for pragma in (
        "auto_vacuum=INCREMENTAL",  # before the first table is made: what is pruned leaves the file
        "journal_mode=WAL",
        "synchronous=NORMAL",  # a killed process loses nothing; a machine without power the last moments
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    # a transaction that reads first and writes then would fail at once where another has written meanwhile
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
