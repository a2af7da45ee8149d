"""Rows as files that others wrote, and a funnel over them, for the tests of `wheelwork filter`."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.duplicates import ExactDuplicates
from wheelwork.core.quality.files.run import Filtered, filter_file
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.rows import read_rows

KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
RULES = Funnel(filters=(Rules(banned=()), ExactDuplicates()))
MASK = Funnel(filters=(PersonalData(action="mask"), Rules(banned=("gone",), max_repetition=1)))
GOOD = ["the line is down again", "why is my bill, this month, so high", 'it said "wait" and\nthen nothing']
ROWS = [
    {"id": "7", "text": text, "label": label, "note": ""}
    for text, label in [
        (GOOD[0], "line"),
        ("no", "line"),
        (GOOD[1], "bill"),
        (f"{GOOD[0]}!", "line"),
        (GOOD[2], "line"),
    ]
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """`rows` as the file that others would have written."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(source: Path, out: Path, funnel: Funnel = RULES, **rest: Any) -> Filtered:
    return filter_file(source, out, funnel, rest.pop("context", FunnelContext(None)), **rest)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)] if path.exists() else []


def beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.stem}.{what}")
