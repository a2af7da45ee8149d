"""Stored traffic as rows for other tools."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from ..rows import Row, write_rows
from .archive import Archive, Voiced, json_of

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "time", "loop", "version", "role", "key", "user", "conversation")),
        *((name, pa.string()) for name in ("messages", "reply", "finish", "error")),
        ("status", pa.int64()),
        ("latency", pa.float64()),
        ("first_token", pa.float64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cached", pa.bool_()),
        ("shadow_of", pa.string()),
        ("thumb", pa.string()),
        ("rating", pa.int64()),
        ("correction", pa.string()),
        ("comment", pa.string()),
    ]
)


def write_traffic(archive: Archive, loop: str, path: Path, since: float = 0.0) -> int:
    """Write the exchanges of a loop with the last word of users on each; how many they were.

    The ending of `path` chooses the kind of file; `messages` stand as JSON in one column. Raises DataError for an
    ending that is not known.
    """
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for count, row in enumerate(rows_of(archive.all(loop, since)), 1):  # noqa: B007 - counted for the caller
            yield row

    write_rows(path, counted(), SCHEMA)
    return count


def rows_of(found: Iterable[Voiced]) -> Iterator[Row]:
    """Exchanges as rows of SCHEMA."""
    names = [name for name in SCHEMA.names if name not in ("time", "messages")]
    for one in found:
        row = {name: getattr(one.exchange, name, None) for name in names}
        for said in one.said:  # the last word of each kind
            row |= {name: value for name, value in said if name not in ("exchange", "at", "key") and value is not None}
        row["time"] = datetime.fromtimestamp(one.exchange.at, UTC).isoformat(timespec="milliseconds")
        yield row | {"messages": json_of(one.exchange.messages)}
