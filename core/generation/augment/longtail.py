"""The long tail: more children for the parents of whatever there is too little of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from ...models.encoder import Encode
from ...samples import Sample
from ..quota import spread, top_up
from .children import wishes
from .settings import Augmentation


def extra_children(
    parents: Sequence[Sample],
    settings: Augmentation,
    weights: Mapping[str, float] | None = None,
    encode: Encode | None = None,
) -> dict[str, int]:
    """How many children beyond those of `times` each parent is to have, by its id.

    A label or category is to have its share of all parents and their children, by `weights` (1 where it has none);
    with `settings.clusters`, which needs `encode`, each of its clusters an equal part of that share. Those below it get
    what they lack; when that is more than `settings.long_tail` allows, by scarcity (`quota.top_up`). It is spread
    evenly over the parents there, the first ones taking the remainder.
    """
    usual = {parent.id: sum(1 for _ in wishes(parent, settings)) for parent in parents}
    able = [parent for parent in parents if usual[parent.id]]  # of others nothing can be made
    counts, families = Counter[str](), dict[str, list[str]]()
    shares: dict[str, Fraction] = {}
    for category, groups in _groups(able, settings.clusters, encode).items():
        for number, group in enumerate(groups):
            name = f"{category}\n{number}"
            counts[name] = sum(1 + usual[parent.id] for parent in group)
            families[name] = [parent.id for parent in group]
            shares[name] = Fraction((weights or {}).get(category, 1.0)) / len(groups)
    wanted = spread(counts.total(), shares)
    extra: dict[str, int] = {}
    for name, count in top_up(counts, wanted, int(settings.long_tail * sum(usual.values()))).items():
        extra |= spread(count, dict.fromkeys(families[name], 1))
    return {parent: count for parent, count in extra.items() if count}


def _groups(parents: Sequence[Sample], clusters: int, encode: Encode | None) -> dict[str, list[list[Sample]]]:
    """Category → its groups: all of it, or its clusters."""
    by_category: dict[str, list[Sample]] = {}
    for parent in parents:
        by_category.setdefault(_category(parent), []).append(parent)
    if not clusters:
        return {category: [members] for category, members in by_category.items()}
    if encode is None:
        raise TypeError("clusters are of embeddings: an encoder is needed")
    return {category: _clusters(members, clusters, encode) for category, members in by_category.items()}


def _clusters(members: Sequence[Sample], most: int, encode: Encode) -> list[list[Sample]]:
    """`members` in at most `most` groups by meaning (k-means++, Arthur & Vassilvitskii 2007), the same every time."""
    from scipy.cluster.vq import kmeans2  # 0.3 s

    points = np.asarray(encode([member.prompt for member in members]), dtype=np.float64)
    count = min(most, len(np.unique(points, axis=0)))
    _, which = kmeans2(points, count, minit="++", rng=np.random.default_rng(0), missing="warn")
    groups: dict[int, list[Sample]] = {}
    for member, group in zip(members, which.tolist(), strict=True):
        groups.setdefault(group, []).append(member)
    return list(groups.values())


def _category(sample: Sample) -> str:
    return sample.label or sample.controls.get("category", "")
