"""The traffic database for a command or a task: what goes wrong with it is one sentence, and can be tried again."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ..errors import DependencyError
from .archive import Archive
from .trouble import reason_of


@contextmanager
def reached(home: Path) -> Iterator[Archive]:
    """The traffic of `home`, closed when the block ends. Raises DependencyError where the database is away."""
    with Archive.of(home) as archive:
        try:
            yield archive
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise DependencyError(
                f"the traffic database {archive.database.name} did not do as asked ({reason_of(error)}); check it, "
                "then run the command again"
            ) from error
