"""What a benchmark leaves behind: a table on the screen, a list of figures in benchmarks/results/NAME.json."""

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"


class Figure(NamedTuple):
    """One measured value: which case, of which system, what, how much, in which unit."""

    case: str
    system: str
    metric: str
    value: float
    unit: str


def publish(name: str, figures: Iterable[Figure]) -> None:
    """Print the figures as a table and write them, under the date and the machine, to `results/NAME.json`."""
    rows = list(figures)
    table = Table("case", "system", "metric", "value", "unit", box=None, header_style="dim")
    for row in rows:
        table.add_row(row.case, row.system, row.metric, f"{row.value:,.4g}", row.unit)
    Console().print(table)
    date = int(datetime.now(UTC).strftime("%Y%m%d"))
    measured = [*rows, Figure("machine", machine(), "date", date, "YYYYMMDD")]
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps([row._asdict() for row in measured], indent=2, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def machine() -> str:
    """The processor, its cores and the Python that measured."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
