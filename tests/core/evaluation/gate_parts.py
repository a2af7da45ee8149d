"""Scores of suites by the numbers of items that were won and lost, and the gate's verdict on them."""

from dataclasses import replace

from wheelwork.core.evaluation.gate import Decision, GateSettings, decide
from wheelwork.core.evaluation.scores import SuiteScores

GATE = GateSettings(resamples=500)
Column = tuple[float | None, ...]


def column(*runs: tuple[float | None, int]) -> Column:
    return tuple(score for score, times in runs for _ in range(times))


def target(base: Column, candidate: Column, champion: Column | None = None, name: str = "holdout") -> SuiteScores:
    ids = tuple(f"item {i}" for i in range(len(base)))
    return SuiteScores(name, "target", "d1", ids, ids, base, champion, candidate)


def guard(base: Column, candidate: Column, champion: Column | None = None, margin: float = 0.1) -> SuiteScores:
    return replace(target(base, candidate, champion, "retention"), role="guard", margin=margin)


def counted(both: int, losses: int, wins: int, neither: int) -> tuple[Column, Column]:
    """Reference and candidate with these numbers of items."""
    reference = column((1, both + losses), (0, wins + neither))
    return reference, column((1, both), (0, losses), (1, wins), (0, neither))


def judge(*suites: SuiteScores, look: int = 1, settings: GateSettings = GATE) -> Decision:
    return decide(suites, settings, look, seed=11)
