"""Promotions that are killed anywhere, promotions that race, and how long a rollback takes: on a real MLflow database.

    python -m wheelwork.benchmarks.registry           100 kills, 50 races, 5 rollbacks: some minutes
    python -m wheelwork.benchmarks.registry --quick   a tenth of it, to see whether it runs

Each promotion is a process of its own. It is killed with SIGKILL at a moment drawn over the whole span of a promotion:
opening MLflow, registering the adapter, tags, aliases, journal. Half of the races are within one state folder, half
between two folders that share one MLflow.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .registry_processes import FAULTS, LOOP, Place, faults, forked, judge, looked, prepared, together, warmed
from .results import Figure, publish

KILLS, RACES, ROLLBACKS = 100, 50, 5
LOSING = 5  # every so many rounds one is rejected
FIRST = 5  # rounds that are not killed, to see how long one takes
AGAIN = "given again, another end"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a tenth of it; the file of results is another")
    options.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    chosen = options.parse_args()
    share = 10 if chosen.quick else 1
    with tempfile.TemporaryDirectory(prefix="wheelwork-registry-") as folder:
        migrated = warmed(Path(folder) / "empty.db")
        place = prepared(Path(folder) / "killed", migrated)
        figures = killed(place, KILLS // share, random.Random(chosen.seed))
        figures += raced(prepared(Path(folder) / "raced", migrated), RACES // share)
        figures += rolled_back(place, max(2, ROLLBACKS // share))
    publish("registry-quick" if chosen.quick else "registry", figures)


def killed(place: Place, kills: int, draw: random.Random, first: int = FIRST) -> list[Figure]:
    """Promotions, and rejections, each killed at a moment of its own, looked at, and given again."""
    spans: list[float] = []
    champion: str | None = None
    for number in range(first):
        started = time.perf_counter()
        champion = judged(place, number, champion)["champion"]
        spans.append(time.perf_counter() - started)
    span, stages, wrong, ended = statistics.median(spans), Counter[str](), Counter[str](), 0
    for number in range(first, first + kills):
        verdict = "rejected" if number % LOSING == 0 else "promoted"
        ended += judged(place, number, champion, verdict, draw.uniform(0, span)) is not None
        state = forked(lambda: looked(place))
        stages[state["stage"]] += 1
        newest = str(state["newest"]) if verdict == "promoted" else champion
        wrong.update(faults(state, {champion, newest}))
        again, state = forked(lambda at=number, old=champion, so=verdict: (judge(place, at, old, so), looked(place)))
        champion = again["version"] if verdict == "promoted" else champion
        wrong.update(faults(state, {champion}))
        wrong[AGAIN] += again["champion"] != champion
    case = "promotion killed with SIGKILL"
    return [
        Figure(case, "wheelwork", "kills", kills, "runs"),
        Figure(case, "wheelwork", "span that their moments are drawn over", span, "s"),
        Figure(case, "wheelwork", "ended just before", ended, "runs"),
        *(Figure(case, "wheelwork", f"found {name}", count, "runs") for name, count in sorted(stages.items())),
        *(Figure(case, "wheelwork", name, wrong[name], "runs") for name in (*FAULTS, AGAIN)),
    ]


def raced(place: Place, races: int) -> list[Figure]:
    """Two rounds that both beat the same champion and end at the same moment."""
    other = place._replace(home=place.home / "other")
    champion, wrong, waits = judged(place, 0, None)["champion"], Counter[str](), list[float]()
    for race in range(races):
        second = other if race % 2 else place
        numbers = (2 * race + 1, 2 * race + 2)
        acts = [
            lambda at=at, where=where, old=champion: judge(where, at, old, "promoted")
            for at, where in zip(numbers, (place, second), strict=True)
        ]
        started = time.perf_counter()
        ends: list[dict[str, Any]] = together(acts)
        waits.append(time.perf_counter() - started)
        statuses = sorted(end["status"] for end in ends)
        wrong["both promoted"] += statuses == ["promoted", "promoted"]
        wrong["neither promoted"] += "promoted" not in statuses
        wrong["the second not refused"] += "promoted" in statuses and "refused" not in statuses
        champion = next((end["version"] for end in ends if end["status"] == "promoted"), champion)
        for where in {place, second}:
            wrong.update(faults(forked(lambda where=where: looked(where)), {champion}))
    case = "two promotions at once"
    names = ("both promoted", "neither promoted", "the second not refused", *FAULTS)
    return [
        Figure(case, "wheelwork", "races", races, "runs"),
        Figure(case, "wheelwork", "between two state folders", races // 2, "runs"),
        Figure(case, "wheelwork", "both ended after, median", statistics.median(waits), "s"),
        Figure(case, "wheelwork", "both ended after, longest", max(waits), "s"),
        *(Figure(case, "wheelwork", name, wrong[name], "runs") for name in names),
    ]


def rolled_back(place: Place, times: int) -> list[Figure]:
    """The command itself, from its start to its end, after a promotion each."""
    number, whole, again = 10_000, list[float](), list[float]()
    for at in range(number, number + times):
        champion = forked(lambda: looked(place))["champion"]
        assert judged(place, at, champion)["status"] == "promoted"
        for seconds in (whole, again):
            seconds.append(_command(place, "rollback", LOOP, "--reason", "measured"))
        assert forked(lambda: looked(place))["champion"] == champion
    case = "wheelwork rollback"
    return [
        Figure(case, "wheelwork", "whole command, median", statistics.median(whole), "s"),
        Figure(case, "wheelwork", "whole command, longest", max(whole), "s"),
        Figure(case, "wheelwork", "the second time, nothing to do, median", statistics.median(again), "s"),
        Figure(case, "wheelwork", "import mlflow alone", _seconds("-c", "import mlflow"), "s"),
        Figure(case, "wheelwork", "lines of the journal", _lines(place), "lines"),
    ]


def judged(
    place: Place, number: int, against: str | None, verdict: str = "promoted", kill_after: float | None = None
) -> Any:
    """`judge` in a process of its own."""
    return forked(lambda: judge(place, number, against, verdict), kill_after)


def _command(place: Place, *arguments: str) -> float:
    return _seconds("-m", "wheelwork", *arguments, WHEELWORK_HOME=str(place.home))


def _seconds(*arguments: str, **environment: str) -> float:
    """How long a Python takes from its start to its end."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("WHEELWORK", "MLFLOW_T"))}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=plain | environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _lines(place: Place) -> int:
    return (place.home / "registry" / f"{LOOP}.journal.jsonl").read_bytes().count(b"\n")


if __name__ == "__main__":
    main()
