"""Why a group of items fails: each cause is a component with its own test, and says nothing where it finds nothing.

They stand in the order in which one is preferred to another of the same strength.
"""

from collections import Counter
from typing import Literal

import numpy as np
from pydantic import Field

from ..settings import Setting
from ..text import words
from .cases import RULES, Case
from .findings import Evidence
from .ground import strays
from .groups import Group
from .look import Look

MOST_IDS = 10  # training samples that evidence names


class Formatting(Setting):
    """The replies break the form that was asked for: more than one answer, not alone, no known label, cut off."""

    kind: Literal["formatting"] = "formatting"
    share: float = Field(0.5, gt=0, le=1, description="of the group's replies that have to break the form")

    def __call__(self, group: Group, look: Look) -> Evidence | None:
        cases = look.failing(group)
        broken = Counter(case.rule for case in cases if case.rule)
        share = sum(broken.values()) / len(cases)
        if share < self.share:
            return None
        said = "; ".join(f"in {count} of {len(cases)} {RULES[rule]}" for rule, count in broken.most_common())
        figures = {str(rule): float(count) for rule, count in broken.items()}
        return Evidence(cause=self.kind, strength=share, said=said, figures=figures)


class KnowledgeAbsent(Setting):
    """The words of the right answer stand in nothing that was given: no passage of the item, no training sample.

    Rarer among items that were answered well, by Fisher's exact test, or it would be how the answers are worded.
    """

    kind: Literal["knowledge_absent"] = "knowledge_absent"
    words: float = Field(0.5, gt=0, le=1, description="share of an answer's words below which it is absent")
    share: float = Field(0.5, gt=0, le=1, description="of the group's items whose answer has to be absent")

    def __call__(self, group: Group, look: Look) -> Evidence | None:
        from scipy.stats import fisher_exact

        asked = [case for case in look.failing(group) if self._asks(case, look)]
        others = [look.cases[at] for at in look.right if self._asks(look.cases[at], look)]
        absent = sum(self._absent(case, look) for case in asked)
        if not asked or absent < self.share * len(look.failing(group)):
            return None
        elsewhere = sum(self._absent(case, look) for case in others)
        table = [[absent, len(asked) - absent], [elsewhere, len(others) - elsewhere]]
        p_value = float(fisher_exact(table, alternative="greater").pvalue)
        if p_value > look.level:
            return None
        where = "the passages that were given" if any(case.passages for case in asked) else "what was trained on"
        said = f"the words of the right answer are not in {where} for {absent} of {len(asked)} items"
        said += f", for {elsewhere} of {len(others)} that were answered well (p = {p_value:.2g})"
        figures = {"absent": float(absent), "asked": float(len(asked)), "absent_elsewhere": float(elsewhere)}
        return Evidence(cause=self.kind, strength=absent / len(asked), said=said, figures=figures, p_value=p_value)

    def _asks(self, case: Case, look: Look) -> bool:
        # what a general question asks for is not looked for in the samples of a task
        given = look.in_task or bool(case.passages)
        return given and case.label is None and bool(case.right or case.keywords)

    def _absent(self, case: Case, look: Look) -> bool:
        passages = [look.ground.passages[name] for name in case.passages if name in look.ground.passages]
        given = {word for text in passages for word in words(text)} if passages else look.ground.words
        wanted = [words(answer) for answer in (case.right or (" ".join(case.keywords),))]
        shares = [sum(word in given for word in answer) / len(answer) for answer in wanted if answer]
        return bool(shares) and max(shares) < self.words


class ContradictingSamples(Setting):
    """What was trained on nearest to the items carries the label that they were wrongly answered with, and looks wrong.

    It looks wrong where it lies nearer to the samples of the right label than to the others of its own: without that
    the items would only lie at the border of two labels. Near means as near as items that were answered well usually
    are to theirs: of far samples one has to be nearest.
    """

    kind: Literal["contradicting_samples"] = "contradicting_samples"
    share: float = Field(0.5, gt=0, le=1, description="of the group's items whose nearest sample has to contradict")
    near: float = Field(0.25, ge=0, le=1, description="quantile of the cosines of items answered well that is near")

    def __call__(self, group: Group, look: Look) -> Evidence | None:
        if (near := look.near) is None or not (well := near.rows(look.right)):
            return None
        limit = float(np.quantile(near.cosines[well], self.near))
        against: Counter[int] = Counter()
        confused = [at for at in sorted(group.failing) if look.cases[at].answered and at in near.place]
        for at in confused:
            row = near.place[at]
            sample = int(near.which[row])
            if near.cosines[row] >= limit and sample in _doubted(look, look.cases[at]):
                against[sample] += 1
        share = sum(against.values()) / len(group.failing)
        if share < self.share:
            return None
        ids = [look.ground.learnt[sample].id for sample, _ in against.most_common(MOST_IDS)]
        said = f"for {sum(against.values())} of {len(group.failing)} items the nearest training sample carries the"
        said += f" label that was wrongly answered, and lies nearer to those of the right one: {', '.join(ids[:3])}"
        said += " …" * (len(against) > 3)
        figures = {"contradicted": float(sum(against.values())), "samples": float(len(against)), "cosine": limit}
        return Evidence(cause=self.kind, strength=share, said=said, figures=figures, samples=tuple(ids))


class AmbiguousLabel(Setting):
    """Two labels are taken for each other, both ways, and their training samples lie among each other."""

    kind: Literal["ambiguous_label"] = "ambiguous_label"
    least: int = Field(2, ge=1, description="items that have to be confused in the rarer direction")
    symmetry: float = Field(0.3, gt=0, le=1, description="rarer over commoner direction, at least")
    overlap: float = Field(0.15, gt=0, le=1, description="share of both labels' samples nearer to the other's mean")

    def __call__(self, group: Group, look: Look) -> Evidence | None:
        confused = look.confusions(group)
        if not confused or look.ground.vectors is None:
            return None
        (one, other), there = confused.most_common(1)[0]
        if 2 * there < len(group.failing):
            return None
        ways = [sum(case.label == a and case.answered == b for case in look.cases) for a, b in _both(one, other)]
        symmetry = min(ways) / max(ways)
        places = look.ground.of_label(one), look.ground.of_label(other)
        vectors = [look.ground.vectors[own] for own in places]
        stray = [strays(*vectors), strays(*vectors[::-1])]
        overlap = float(np.concatenate(stray).mean()) if sum(map(len, places)) else 0.0
        if min(ways) < self.least or symmetry < self.symmetry or overlap < self.overlap:
            return None
        ids = [
            look.ground.learnt[place].id
            for own, found in zip(places, stray, strict=True)
            for place, is_stray in zip(own, found, strict=True)
            if is_stray
        ]
        said = f"`{one}` was answered with `{other}` {ways[0]} times and the other way round {ways[1]} times; "
        said += f"{overlap:.0%} of their training samples lie nearer to the other label"
        figures = {"there": float(ways[0]), "back": float(ways[1]), "overlap": overlap}
        # half of two labels that cannot be told apart stray
        strength = min(symmetry, 1.0, 2 * overlap)
        return Evidence(cause=self.kind, strength=strength, said=said, figures=figures, samples=tuple(ids[:MOST_IDS]))


class MissingCoverage(Setting):
    """Too little was trained on: few samples of the label, or none near the items.

    Few is below a share of what an even spread over the labels would give, and too few for chance (binomial test). Far
    is a lower cosine to the nearest sample (of the own label, where there are labels) than of items that were answered
    well: Mann and Whitney's test, and an effect (rank-biserial correlation) that is more than slight.
    """

    kind: Literal["missing_coverage"] = "missing_coverage"
    few: float = Field(0.5, gt=0, lt=1, description="of an even share of the samples, below which a label has few")
    effect: float = Field(0.3, gt=0, le=1, description="rank-biserial correlation that is more than slight")

    def __call__(self, group: Group, look: Look) -> Evidence | None:
        if not look.in_task:
            return None
        found = [one for one in (self._few(group, look), self._far(group, look)) if one is not None]
        if not found:
            return None
        best = max(found, key=lambda one: one.strength)
        figures = {name: value for one in found for name, value in one.figures.items()}
        said = "; ".join(one.said for one in found)
        return best.model_copy(update={"said": said, "figures": figures})

    def _few(self, group: Group, look: Look) -> Evidence | None:
        from scipy.stats import binom

        counts, asked = look.ground.counts, look.categories(group)
        if len(counts) < 2 or not asked or not (total := sum(counts.values())):
            return None
        label, items = asked.most_common(1)[0]
        own, even = counts[label], total / len(counts)
        p_value = float(binom.cdf(own, total, 1 / len(counts)))
        if 2 * items < len(group.failing) or own >= self.few * even or p_value > look.level:
            return None
        said = f"{own} of {total} training samples are `{label}`, an even share is {even:.0f}"
        dropped = look.ground.dropped.get(label)
        if dropped:
            reason, _ = dropped.most_common(1)[0]
            said += f"; the funnel dropped {sum(dropped.values())}, mostly for `{reason}`"
        figures = {"samples": float(own), "even_share": even, "dropped": float(sum((dropped or {}).values()))}
        return Evidence(cause=self.kind, strength=1 - own / even, said=said, figures=figures, p_value=p_value)

    def _far(self, group: Group, look: Look) -> Evidence | None:
        from scipy.stats import mannwhitneyu

        if (near := look.near) is None:
            return None
        labelled = any(case.label for case in look.cases)
        cosines = near.own if labelled else near.cosines
        ours, theirs = (cosines[near.rows(items)] for items in (sorted(group.failing), look.right))
        ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
        if len(ours) < 2 or len(theirs) < 2:
            return None
        tested = mannwhitneyu(ours, theirs, alternative="less")
        effect, p_value = 1 - 2 * float(tested.statistic) / (len(ours) * len(theirs)), float(tested.pvalue)
        if not p_value <= look.level or effect < self.effect:
            return None
        said = f"the nearest training sample{' of their label' * labelled} has a median cosine of "
        said += f"{np.median(ours):.2f}, {np.median(theirs):.2f} for items that were answered well (p = {p_value:.2g})"
        figures = {"cosine": float(np.median(ours)), "cosine_elsewhere": float(np.median(theirs)), "effect": effect}
        return Evidence(cause=self.kind, strength=min(1.0, effect), said=said, figures=figures, p_value=p_value)


class Forgotten(Setting):
    """Base or champion had the items right."""

    kind: Literal["forgotten"] = "forgotten"
    share: float = Field(0.5, gt=0, le=1, description="of the group's items that have to have been right before")

    def __call__(self, group: Group, look: Look) -> Evidence | None:
        cases = look.failing(group)
        knew = {model: sum(model in case.known_by for case in cases) for model in ("champion", "base")}
        model = max(knew, key=lambda one: knew[one])
        if knew[model] < self.share * len(cases):
            return None
        said = f"the {model} had {knew[model]} of {len(cases)} right"
        figures = {name: float(count) for name, count in knew.items()}
        return Evidence(cause=self.kind, strength=knew[model] / len(cases), said=said, figures=figures)


def _doubted(look: Look, case: Case) -> set[int]:
    """Places of the samples of the answered label that lie nearer to those of the right one than to their own."""
    vectors, label, answered = look.ground.vectors, case.label, case.answered
    if vectors is None or label is None or answered is None or label == answered:
        return set()
    own = look.ground.of_label(answered)
    found = strays(vectors[own], vectors[look.ground.of_label(label)])
    return {place for place, stray in zip(own, found, strict=True) if stray}


def _both(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)
