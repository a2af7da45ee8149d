"""Samples and pools to test with."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wheelwork.core.pool.store import Pool
from wheelwork.core.pool.versions import RoundFacts, Verdict
from wheelwork.core.samples import Message, Sample

LABELS = ("line", "wifi", "bill")
SYSTEM = "Read the message. Answer with exactly one of these labels: line, wifi, bill."


def sample(text: str, label: str = "line", *, system: str = SYSTEM, **rest: Any) -> Sample:
    """What a teacher wrote for the loop of `command.tiny_loop`."""
    turns = [
        Message(role="system", content=system),
        Message(role="user", content=text),
        Message(role="assistant", content=label),
    ]
    rest = {"origin": "teacher", "source": "teacher:t", "controls": {"category": label}} | rest
    return Sample.make(turns, task="classify", label=label, **rest)


def samples(count: int, start: int = 0, **rest: Any) -> list[Sample]:
    """`count` samples, no two alike, the labels in turn; their margin grows from row to row."""
    return [
        sample(f"a{n * 7} b{n * 11} c{n * 13} number {n}", LABELS[n % 3], scores={"label_margin": n / 1000}, **rest)
        for n in range(start, start + count)
    ]


def facts(number: int, verdict: Verdict = "promoted", kept: int = 0) -> RoundFacts:
    funnel = {"generated": kept + 2, "kept": kept, "dropped": {"too_short": 2}, "waves": 1}
    return RoundFacts(round=f"{number:04d}-abcdef01", seed=number, verdict=verdict, asked=kept + 2, funnel=funnel)


def conclude(
    pool: Pool, number: int, rows: Sequence[Sample], verdict: Verdict = "promoted", used: Iterable[str] = ()
) -> str | None:
    """A round that kept `rows`; returns the pool's version afterwards."""
    kept = pool.store.write_samples(rows)
    told = facts(number, verdict, len(rows))
    return pool.conclude_round(told, kept, tuple(used), drawn=pool.drawn_by(told.round)).version


def a_pool(home: Path, rounds: int = 1, rows: int = 30, loop: str = "tiny") -> Pool:
    """A pool with some promoted rounds of different rows, at a clock that stands still."""
    pool = Pool(home, loop, clock=lambda: 1_800_000_000.0)
    for number in range(rounds):
        conclude(pool, number, samples(rows, start=number * rows))
    return pool
