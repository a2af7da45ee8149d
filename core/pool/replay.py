"""Replay: which samples of earlier rounds a round trains on again.

Each category gets its share by scarcity, and within a category samples are drawn without replacement with weights of
their score and age (Efraimidis & Spirakis 2006, "Weighted random sampling with a reservoir": of keys −ln(u)/w the
smallest). u comes from the seed and the sample's id, so a draw depends on the pool's version and the seed alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from ..draws import HIGHEST, favour, sort_key
from ..generation.quota import spread, top_up
from ..samples import Sample
from ..settings import Setting
from .fitting import Present
from .versions import Entry, Mark, View, category_of

LOOKED_AT = 3  # entries for each one wanted: what else is there when some do not fit any more
BY_PEOPLE = ("feedback", "human")

Load = Callable[[Iterable[Entry]], Iterable[Sample]]


class Replay(Setting):
    """How many old samples a round trains on again, and which."""

    share: float = Field(0.15, ge=0, le=0.9, description="share of old samples among old and new ones; 0: none")
    by: str = Field("label_margin", description="score that makes a sample likelier; unknown is in the middle")
    half_life: float = Field(8.0, gt=0, description="rounds after which a sample is half as likely")
    weight: float = Field(1.0, gt=0, le=100, description="how much an old sample counts beside a new one")
    marked: tuple[Mark, ...] = Field(
        (), description="verdicts other than promoted whose samples may be drawn too; none unless they are named"
    )

    def wanted(self, fresh: int) -> int:
        """How many old samples go with `fresh` new ones, to make up `share` of both."""
        return int(fresh * self.share / (1 - self.share) + 0.5)

    def ranked(self, view: View, seed: int) -> dict[str, list[Entry]]:
        """The entries that may be drawn, by category, the first drawn first."""
        strata: dict[str, list[Entry]] = defaultdict(list)
        for entry in view.entries.values():
            if entry.mark is None or entry.mark in self.marked:
                strata[entry.category].append(entry)
        now = len(view.rounds)
        return {category: self._in_order(strata[category], now, seed) for category in sorted(strata)}

    def _in_order(self, entries: Sequence[Entry], now: int, seed: int) -> list[Entry]:
        favoured = favour({entry.id: entry.scores[self.by] for entry in entries if self.by in entry.scores})

        def key(entry: Entry) -> tuple[float, str]:
            middle = HIGHEST if entry.origin in BY_PEOPLE else 1.0  # a person's own words need no score
            weight = favoured.get(entry.id, middle) * 0.5 ** ((now - entry.ordinal) / self.half_life)
            return (sort_key(seed, entry.id, weight), entry.id)

        return sorted(entries, key=key)


def shares(fresh: Mapping[str, int], available: Mapping[str, int], total: int) -> dict[str, int]:
    """How many of `total` old samples each category gives.

    `fresh` are the new ones by category. Scarce categories come first: together with the old ones all are brought as
    near to even as `available` allows; what is then left goes by what is available.
    """
    even = spread(sum(fresh.values()) + total, dict.fromkeys(sorted({*fresh, *available}), 1.0))
    reach = {name: min(even[name], fresh.get(name, 0) + count) for name, count in available.items()}
    first = top_up(fresh, reach, total)
    room = {name: count - first[name] for name, count in available.items()}
    left = min(total - sum(first.values()), sum(room.values()))
    more = top_up({}, room, left)
    return {name: first[name] + more[name] for name in available}


class Drawn(NamedTuple):
    """What a draw gave: samples to train on, the ids they have in the pool, and who was passed over, by reason."""

    samples: list[Sample]
    ids: tuple[str, ...]
    passed_over: dict[str, int]


def draw(
    replay: Replay,
    view: View,
    fresh: Sequence[Sample],
    load: Load,
    present: Present,
    *,
    excluded: Iterable[str],
    seed: int,
) -> Drawn:
    """Old samples to go with the `fresh` ones: of each category its share, as they fit the loop at `present`.

    Fewer than `replay.share` asks for where the pool holds no more, or where few of those looked at still fit.
    """
    gone = {*excluded, *(sample.id for sample in fresh)}
    ranked = {
        category: [entry for entry in entries if entry.id not in gone]
        for category, entries in replay.ranked(view, seed).items()
    }
    passed = Counter[str]()
    if labels := present.material.labels:
        passed["unknown_label"] = sum(len(entries) for category, entries in ranked.items() if category not in labels)
        ranked = {category: entries for category, entries in ranked.items() if category in labels}
    available = {category: len(entries) for category, entries in ranked.items()}
    quotas = shares(Counter(category_of(sample) for sample in fresh), available, replay.wanted(len(fresh)))
    looked = [entry for category, quota in quotas.items() for entry in ranked[category][: LOOKED_AT * quota]]
    samples = {sample.id: sample for sample in load(looked)}
    fits = present.fit([samples[entry.id] for entry in looked], fresh)
    chosen: dict[str, list[tuple[str, Sample]]] = {category: [] for category in quotas}
    for entry, fit in zip(looked, fits, strict=True):
        if isinstance(fit, str):
            passed[fit] += 1
        elif len(chosen[entry.category]) < quotas[entry.category]:
            weighed = fit.model_copy(update={"weight": fit.weight * replay.weight})
            chosen[entry.category].append((entry.id, weighed))
    taken = [one for ones in chosen.values() for one in ones]
    return Drawn([sample for _, sample in taken], tuple(id for id, _ in taken), dict(+passed))
