"""The steps of a round, by the names under which their results are kept and their times are told."""

from typing import Literal, get_args

Step = Literal[
    "generate", "filter", "augment", "review", "check", "replay", "rehearse", "leaks", "train", "benchmark", "attribute"
]


def from_step(first: Step | None) -> tuple[Step, ...]:
    """`first` and the steps after it, in the order of a round; none without `first`."""
    steps: tuple[Step, ...] = get_args(Step)
    return steps[steps.index(first) :] if first else ()
