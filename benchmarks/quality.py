"""The funnel over files: rows a second, memory, growth with the rows, what it finds of planted defects, and others.

    python -m wheelwork.benchmarks.quality           a quarter of an hour, 1 GB of disk
    python -m wheelwork.benchmarks.quality --quick   10,000 rows
    python -m wheelwork.benchmarks.quality_peers     near duplicates by others: see there

Each run is a process of its own, from a .jsonl file to .jsonl files. "One core" is one process that may use one core;
"whole funnel" is rules, personal data, exact and near duplicates and language as the command runs them, with a worker
for each core where the file is large, and its memory is that of all processes together. What is planted is in
`corpora`. A defect counts as found when the row is dropped for a reason of that defect; precision is the share of the
drops for these reasons that were planted so.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from wheelwork.core.parallel import in_processes
from wheelwork.core.quality.context import FunnelContext
from wheelwork.core.quality.duplicates import ExactDuplicates, NearDuplicates
from wheelwork.core.quality.files.run import filter_file, processes_for
from wheelwork.core.quality.filters import Rules
from wheelwork.core.quality.funnel import Funnel
from wheelwork.core.quality.personal.filter import PersonalData
from wheelwork.core.quality.rows.language import Language

from .corpora import write_corpus
from .generation import REPEATS, pin, spread
from .results import Figure, publish

OURS = "wheelwork"
NEAR = NearDuplicates(threshold=0.5)
ENGLISH = Language(allowed=("en",))
FUNNELS = {
    "rules": Funnel(filters=(Rules(),)),
    "near_duplicates": Funnel(filters=(NEAR,)),
    "language": Funnel(filters=(ENGLISH,)),
    # what asks a model of languages costs the most, so it comes last
    "whole funnel": Funnel(filters=(Rules(), PersonalData(), ExactDuplicates(), NEAR, ENGLISH)),
}
REASONS = {
    "exact": {"duplicate"},
    "near": {"near_duplicate"},
    "garbage": {"empty", "too_short", "too_long", "debris", "repetition"},
    "personal": {"personal_data", "secret"},
    "language": {"wrong_language"},
}
SIZES = (10_000, 100_000, 1_000_000)
LARGE = 1_000_000  # measured once
SLOW = ("language",)  # not measured over LARGE


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="10,000 rows only")
    options.add_argument("--child", nargs=4, metavar=("FUNNEL", "IN", "OUT", "WORKERS"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        funnel, source, out, workers = chosen.child
        print(json.dumps(_filter(funnel, Path(source), Path(out), int(workers))))
        return
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[tuple[str, int], float] = {}  # a row
        for rows in SIZES[:1] if chosen.quick else SIZES:
            source, out = Path(folder) / f"{rows}.jsonl", Path(folder) / "out.jsonl"
            write_corpus(source, rows)
            for name in FUNNELS:
                if rows >= LARGE and name in SLOW:
                    continue
                made = _speed(name, source, out, rows)
                figures += made
                seconds[name, rows] = 1 / made[0].value
            figures += found(source, out, f"{rows:,} rows, whole funnel")
        figures += _growth(seconds)
    publish("quality-quick" if chosen.quick else "quality", figures)


def _growth(seconds: dict[tuple[str, int], float]) -> list[Figure]:
    """How much dearer a row is in ten times as many: 1 where time is linear."""
    return [
        Figure(
            f"{less:,} to {more:,} rows", OURS, f"{name}, time a row", seconds[name, more] / seconds[name, less], "×"
        )
        for name in FUNNELS
        for less, more in pairwise(SIZES)
        if (name, more) in seconds
    ]


def _speed(name: str, source: Path, out: Path, rows: int) -> list[Figure]:
    """Rows a second of one funnel over one file, first of all; then memory."""
    alone = name != "whole funnel"
    workers = 1 if alone else processes_for(source)
    runs = [run(name, source, out, workers) for _ in range(1 if rows >= LARGE else REPEATS)]
    case, where = f"{rows:,} rows, {name}", "one core" if alone else f"{workers} workers"
    return [
        *spread(case, OURS, f"rows a second, {where}", [rows / one["seconds"] for one in runs], "rows/s"),
        *spread(case, OURS, "rows a CPU-second", [rows / one["cpu_seconds"] for one in runs], "rows/s"),
        Figure(case, OURS, "resident, largest", max(one["resident"] for one in runs), "MiB"),
    ]


def run(name: str, source: Path, out: Path, workers: int) -> dict[str, float]:
    """One funnel over one file, in a process of its own with `workers` below it; resident MiB are those of all."""
    command = [sys.executable, "-m", "wheelwork.benchmarks.quality", "--child", name, str(source), str(out)]
    largest = 0.0
    with psutil.Popen([*command, str(workers)], stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            largest = max(largest, _resident(child))
            time.sleep(0.05)
        measured: dict[str, float] = json.loads(child.stdout.read().splitlines()[-1])
    return measured | {"resident": max(largest, measured["resident"])}


def _filter(name: str, source: Path, out: Path, workers: int) -> dict[str, float]:
    if workers == 1:
        pin(-1)
    started, worked = time.perf_counter(), _cpu_seconds()
    each = in_processes(workers) if workers > 1 else map
    result = filter_file(source, out, FUNNELS[name], FunnelContext(None), each=each)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": _cpu_seconds() - worked}
    return {"rows": result.rows, **took, "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def found(source: Path, out: Path, case: str) -> list[Figure]:
    """Recall and precision of each defect, from the file of drops."""
    planted = Counter(row["planted"] for row in _rows(source))
    dropped = Counter((row["planted"], row["reject_reason"]) for row in _rows(out.with_name("out.dropped.jsonl")))
    figures = []
    for defect, reasons in REASONS.items():
        right = sum(dropped[defect, reason] for reason in reasons)
        named = sum(count for (_, reason), count in dropped.items() if reason in reasons)
        figures.append(Figure(case, OURS, f"{defect}: recall", right / planted[defect], f"of {planted[defect]:,}"))
        figures.append(Figure(case, OURS, f"{defect}: precision", right / named, f"of {named:,}"))
    good = sum(count for (defect, _), count in dropped.items() if defect == "")
    return [*figures, Figure(case, OURS, "good rows dropped", 100 * good / planted[""], "%")]


def _rows(path: Path) -> Any:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _resident(process: psutil.Process) -> float:
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total / 2**20


def _cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
