"""A micro-round: a few corrections are learnt, judged and put on trial while the gateway serves."""

from typing import Any

from prefect import flow

from ..core.micro import FEWEST, MicroRound
from ..core.rounds import Report
from ..tasks.micro import giving_way, when_enough
from ..tasks.opening import opened


@flow(name="micro", flow_run_name="micro {loop}", log_prints=False)
def micro(
    loop: str, fewest: int = FEWEST, most: int = 100, epochs: int = 2, threads: int | None = None,
    seed: int | None = None,
) -> Report | Any:  # fmt: skip
    """Learn the corrections that no round has learnt yet; nothing is written by a teacher.

    The adapter goes on from the champion's, passes the gate as every other, and then the canary. A run that finds too
    few corrections, or another round of the loop under way, ends at once and changes nothing.

    Args:
        loop: Folder of the loop (the one with loop.yaml in it), or the name of a scenario.
        fewest: How many corrections have to wait; with fewer nothing is done.
        most: How many are learnt at once, the oldest first; the others wait for the next micro-round.
        epochs: Passes over corrections, seeds and replayed samples; never more than loop.yaml says for a whole round.
        threads: Threads that train, so that the gateway keeps the others; empty: all, at the lowest priority.
        seed: Seed of every random choice; the same seed gives the same round. Empty: a seed not used before.
    """
    settings = MicroRound(samples=0, seed=seed, most=most, epochs=epochs, threads=threads)
    return when_enough(loop, fewest, settings, learn)


def learn(loop: str, settings: MicroRound) -> Report:
    """One turn of the loop over corrections: learn, measure, decide, promote."""
    with giving_way(settings), opened(loop, settings.samples, settings.seed, overrides=settings) as turn:
        sifted = turn.corrections(settings.most)
        replayed = turn.replay(sifted)
        rehearsed = turn.rehearse()
        candidate = turn.train(sifted, replayed, rehearsed)
        results = turn.benchmark(candidate)
        found = turn.attribute(sifted, replayed, results)
        decision = turn.decide(candidate, results)
        return turn.conclude(sifted, replayed, candidate, results, decision, found)
