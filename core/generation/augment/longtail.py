"""The long tail: more children for the parents of whatever there is too little of."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ...samples import Sample
from ..quota import spread, top_up
from .children import wishes
from .settings import Augmentation


def extra_children(
    parents: Sequence[Sample], settings: Augmentation, weights: Mapping[str, float] | None = None
) -> dict[str, int]:
    """How many children beyond those of `times` each parent is to have, by its id.

    A label or category is to have its share of all parents and their children, by `weights` (1 where it has none).
    Those below it get what they lack; when that is more than `settings.long_tail` allows, by scarcity (`quota.top_up`).
    It is spread evenly over the category's parents, the first ones taking the remainder.
    """
    usual = {parent.id: sum(1 for _ in wishes(parent, settings)) for parent in parents}
    counts, families = Counter[str](), dict[str, list[str]]()
    for parent in parents:
        if usual[parent.id]:  # of others nothing can be made
            counts[_category(parent)] += 1 + usual[parent.id]
            families.setdefault(_category(parent), []).append(parent.id)
    wanted = spread(counts.total(), {category: (weights or {}).get(category, 1.0) for category in families})
    extra: dict[str, int] = {}
    for category, count in top_up(counts, wanted, int(settings.long_tail * sum(usual.values()))).items():
        extra |= spread(count, dict.fromkeys(families[category], 1))
    return {parent: count for parent, count in extra.items() if count}


def _category(sample: Sample) -> str:
    return sample.label or sample.controls.get("category", "")
