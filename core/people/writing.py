"""Texts with suggested labels as files: a sheet of any kind, or the JSON of an annotation tool."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from ..pool.annotators import LABEL, Tool, label_interface, wrapped_texts
from ..pool.sheet import write_json
from ..rows import Row, write_rows

QUEUE = ("id", "text", "suggested", "probability", "uncertainty")
PSEUDO = ("id", "text", "label", "probability", "weight", "origin")
NUMBERS = ("probability", "uncertainty", "weight")


def write_queue(path: Path, rows: Iterable[Row], reviewers: Sequence[str] = ()) -> None:
    """Write texts to label, with a column for the label, or for that of each of `reviewers`."""
    asked = [f"{LABEL}.{name}" for name in reviewers] or [LABEL]
    empty = dict.fromkeys([*asked, "note"], "")
    _write(path, ({**row, **empty} for row in rows), [*QUEUE, *empty])


def write_pseudo(path: Path, rows: Iterable[Row]) -> None:
    """Write texts with the labels that they got."""
    _write(path, ({name: row[name] for name in PSEUDO} for row in rows), PSEUDO)


def write_suggestions(path: Path, rows: Iterable[Row], tool: Tool, labels: Sequence[str]) -> None:
    """Write texts for an annotation tool, the suggested label filled in."""
    write_json(path, wrapped_texts(rows, tool), tool, label_interface(labels))


def _write(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    kinds = [(name, pa.float64() if name in NUMBERS else pa.string()) for name in columns]
    write_rows(path, (_seen(row) for row in rows), pa.schema(kinds))


def _seen(row: Row) -> Row:
    """What every kind of file can hold."""
    return {
        name: value.replace("\0", "\N{SYMBOL FOR NULL}") if isinstance(value, str) else value
        for name, value in row.items()
    }
