"""One turn of a loop: write, sift, replay, learn, measure, decide, promote."""

from prefect import flow

from ..core.rounds import Report
from ..core.steps import Step
from ..tasks.opening import opened


@flow(name="improve", flow_run_name="improve {loop}", log_prints=False)
def improve(loop: str, samples: int | None = None, seed: int | None = None, from_step: Step | None = None) -> Report:
    """Run one round of a loop and promote its adapter if the gate says that it is better.

    Args:
        loop: Folder of the loop (the one with loop.yaml in it), or the name of a scenario.
        samples: How many samples to ask the teacher for; empty: what loop.yaml says.
        seed: Seed of every random choice; the same seed gives the same round. Empty: a seed not used before.
        from_step: Do this step and those after it again, though nothing that they depend on has changed.
    """
    with opened(loop, samples, seed, from_step) as turn:
        sifted = turn.check(turn.review(turn.gather()))
        replayed = turn.replay(sifted)
        rehearsed = turn.rehearse()
        candidate = turn.train(sifted, replayed, rehearsed)
        results = turn.benchmark(candidate)
        found = turn.attribute(sifted, replayed, results)
        decision = turn.decide(candidate, results)
        return turn.conclude(sifted, replayed, candidate, results, decision, found)
