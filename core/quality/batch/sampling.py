"""Which of the kept to train on, where there are more than are wanted: the mix of the target, and the surest first."""

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import Field

from ...draws import favour, sort_key
from ...samples import Sample
from ...settings import Setting
from .mix import divergence, shares_of
from .sides import category_of

NOT_SAMPLED = "not_sampled"


def allocation(available: Mapping[str, int], target: Mapping[str, float], most: int) -> dict[str, int]:
    """How many of each category to take, at most `most` in all, so that KL to the target is smallest.

    KL of n rows is a sum of convex functions of the counts, so taking each next row where it costs least gives the
    best counts at every total on the way (Gross 1956). Of the totals up to `most` the largest is taken whose mix
    is no further from the target than that of all of them; all are taken where there is none.
    """
    whole = sum(available.values())
    if whole <= most:
        return dict(available)
    bound = divergence(shares_of(available), target)
    counts, best = dict.fromkeys(available, 0), dict(available)
    heap = [(_cost(0, target[name]), name) for name in available if target.get(name, 0.0) > 0 and available[name]]
    heapq.heapify(heap)
    costs, total = 0.0, 0
    while heap and total < most:
        cost, name = heapq.heappop(heap)
        costs, total = costs + cost, total + 1
        counts[name] += 1
        if counts[name] < available[name]:
            heapq.heappush(heap, (_cost(counts[name], target[name]), name))
        if costs / total - math.log(total) <= bound + 1e-12:
            best = dict(counts)
    return best


def _cost(count: int, share: float) -> float:
    """What one more row adds to Σ n ln(n / q), of which KL is the mean less ln Σ n."""
    before = count * math.log(count) if count else 0.0
    return (count + 1) * math.log(count + 1) - before - math.log(share)


class TaskSampling(Setting):
    """Draw some of the kept, so that their mix comes nearer to the target; those with a high score are likelier."""

    size: int = Field(ge=1, le=10_000_000, description="how many samples to draw at most")
    by: str = Field("label_margin", description="score that makes a sample likelier; unknown is in the middle")

    def __call__(self, samples: Sequence[Sample], target: Mapping[str, float], seed: int) -> list[bool]:
        """Whether each sample is drawn. Without categories the score alone decides who is likelier."""
        names = [category_of(sample) for sample in samples]
        places: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(names):
            places[name].append(place)
        available = {name: len(rows) for name, rows in places.items()}
        counts = allocation(available, target if set(names) != {""} else {"": 1.0}, self.size)
        favoured = favour({sample.id: sample.scores[self.by] for sample in samples if self.by in sample.scores})
        drawn = [False] * len(samples)
        for name, rows in places.items():
            ranked = sorted(
                rows, key=lambda at: (sort_key(seed, samples[at].id, favoured.get(samples[at].id, 1.0)), at)
            )
            for place in ranked[: counts[name]]:
                drawn[place] = True
        return drawn
