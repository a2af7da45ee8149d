"""The demo as a stranger runs it: a first round, the same command again, and the next round.

Each is a process of its own on a fresh state folder; time is wall clock from the command to its end, memory the
largest sum of resident sizes of the process and its children, sampled twice a second.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from .results import Figure, publish

MODEL_WORK = ("generate", "filter", "rehearse", "embed", "train", "benchmark")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "WHEELWORK_HOME": str(Path(folder) / "state")}
        figures: list[Figure] = []
        for case, seed in (("first round", 0), ("the same again", 0), ("next round", 1)):
            report, seconds, resident = _run(Path(folder) / "report.json", seed, environment)
            figures += _figures(case, report, seconds, resident)
    publish("round", figures)


def _run(report: Path, seed: int, environment: dict[str, str]) -> tuple[dict[str, Any], float, float]:
    """One `wheelwork demo`: its report, seconds, and largest resident size in MiB."""
    started, largest = time.perf_counter(), 0.0
    command = [sys.executable, "-m", "wheelwork", "demo", "--seed", str(seed), "--report", str(report)]
    child = psutil.Popen(command, env=environment)
    while True:
        try:
            child.wait(0.5)
            break
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            largest = max(largest, _resident(child))
    if child.returncode:
        sys.exit(f"wheelwork demo ended with {child.returncode}")
    return json.loads(report.read_text(encoding="utf-8")), time.perf_counter() - started, largest


def _resident(process: psutil.Process) -> float:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def _figures(case: str, report: dict[str, Any], seconds: float, resident: float) -> list[Figure]:
    def figure(metric: str, value: float, unit: str) -> Figure:
        return Figure(case, "wheelwork", metric, value, unit)

    outside = report["timings"]["total"] - sum(report["timings"][step] for step in MODEL_WORK)
    found = [
        figure("wall clock", seconds, "s"),
        figure("outside model work", 100 * outside / report["timings"]["total"], "% of the round"),
        figure("resident, largest", resident, "MiB"),
        figure(
            "steps from cache", sum(state == "hit" for state in report["cache"].values()), f"of {len(report['cache'])}"
        ),
        figure("promoted", float(report["verdict"] == "promoted"), "0 or 1"),
        figure("kept samples", report["funnel"]["kept"], f"of {report['funnel']['generated']}"),
        figure("training speed", report["train"]["tokens_per_second"], "sample tokens/s"),
    ]
    found += [figure(f"step {step}", report["timings"][step], "s") for step in ("start", *MODEL_WORK, "record")]
    for name, suite in report["suites"].items():
        for model in ("base", "champion", "candidate"):
            if suite[model] is not None:
                found.append(figure(f"{name}, {model}", suite[model], "share right"))
    return found


if __name__ == "__main__":
    main()
