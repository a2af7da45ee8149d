"""The long tail: more children for the parents of whatever there is too little of."""

from collections.abc import Callable, Mapping, Sequence

from ...samples import Sample
from ..quota import spread


def category_of(sample: Sample) -> str:
    """What a sample is counted under: its label, or the category that its writer was asked for."""
    return sample.label or sample.controls.get("category", "")


def extra_children(
    samples: Sequence[Sample], more: Mapping[str, int], of: Callable[[Sample], str] = category_of
) -> dict[str, int]:
    """How many children beyond the usual each parent is to have, by its id: `more` of each category (`quota.top_up`).

    Spread evenly over the parents of a category, the first ones taking the remainder. A category without a parent
    gets none: there is nothing to make them from. `of` names what is counted, such as a cluster.
    """
    parents: dict[str, list[str]] = {}
    for sample in samples:
        parents.setdefault(of(sample), []).append(sample.id)
    extra: dict[str, int] = {}
    for category, count in more.items():
        extra |= spread(count, dict.fromkeys(parents.get(category, []), 1))
    return {parent: count for parent, count in extra.items() if count}
