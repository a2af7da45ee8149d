"""What goes wrong with a database: whether it is away or a row is odd, and why, without anybody's text."""

import sqlite3

import sqlalchemy.exc as failing

from ..errors import WheelworkError

AWAY = (failing.SQLAlchemyError, sqlite3.Error, OSError, WheelworkError)
"""What a database that is away, locked, full or damaged raises."""


def is_of_a_row(error: Exception) -> bool:
    """Whether it is a row that cannot be stored, not the database that is away."""
    if isinstance(error, failing.DataError | failing.IntegrityError):
        return True
    away = (failing.DBAPIError, failing.TimeoutError, sqlite3.Error, OSError, WheelworkError)
    return not isinstance(error, away)


def reason_of(error: BaseException) -> str:
    """The first line of what the database itself said."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
