"""From a cause to what could be done about it."""

from collections import Counter
from collections.abc import Callable
from math import ceil

import numpy as np

from ..text import words
from .cases import Rule
from .findings import Cause, Evidence
from .ground import mean_direction
from .groups import Group
from .look import Look
from .remedies import AddKnowledge, AskLabel, FewShots, MoreSamples, Remedy, ReplayMore, Shown, TemplateChange

PER_ITEM, FEWEST, MOST = 4, 8, 200  # samples to write for each failing item, and bounds of what is asked for at once
SHOTS = 3
A_PART = 1 / 3  # of a group's items that a category must have to get samples of its own

CHANGES: dict[Rule, str] = {
    "empty": "say in `task.instruction` that there must be an answer",
    "not_json": "say in `task.instruction` that the answer is JSON and nothing else, and show its keys",
    "several_labels": "say in `task.instruction` that the answer is exactly one label",
    "not_alone": "say in `task.instruction` that the answer stands alone, without a sentence around it",
    "cut_off": "raise `max_tokens` of the suite, or ask for shorter answers in `task.instruction`",
    "no_label": "list the labels in the prompt, and say in `task.instruction` that the answer is one of them",
}


def remedies_of(group: Group, evidence: Evidence, look: Look) -> tuple[Remedy, ...]:
    """What could be done about a group for the cause that `evidence` names; nothing for one that is unknown."""
    propose: dict[Cause, Callable[[Group, Evidence, Look], list[Remedy]]] = {
        "formatting": _template,
        "knowledge_absent": _knowledge,
        "contradicting_samples": _contradiction,
        "ambiguous_label": _ambiguity,
        "missing_coverage": _samples,
        "forgotten": _replay,
    }
    return tuple(propose[evidence.cause](group, evidence, look)) if evidence.cause in propose else ()


def _template(group: Group, evidence: Evidence, look: Look) -> list[Remedy]:
    rules = Counter(case.rule for case in look.failing(group) if case.rule)
    return [TemplateChange(change=CHANGES[rule]) for rule, _ in rules.most_common(1)]


def _knowledge(group: Group, evidence: Evidence, look: Look) -> list[Remedy]:
    cases = look.failing(group)
    passages = sorted({name for case in cases for name in case.passages if name in look.ground.passages})
    return [AddKnowledge(passages=tuple(passages), slices=tuple(sorted({case.slice for case in cases if case.slice})))]


def _contradiction(group: Group, evidence: Evidence, look: Look) -> list[Remedy]:
    labels = tuple(dict.fromkeys(label for pair, _ in look.confusions(group).most_common() for label in pair))
    question = f"do these samples carry the right label, or is it {_or(labels)}?"
    return [AskLabel(labels=labels, question=question, samples=_shown(evidence.samples, look))]


def _ambiguity(group: Group, evidence: Evidence, look: Look) -> list[Remedy]:
    (one, other), _ = look.confusions(group).most_common(1)[0]
    question = f"what tells `{one}` from `{other}`, and on which side are these samples?"
    return [AskLabel(labels=(one, other), question=question, samples=_shown(evidence.samples, look))]


def _samples(group: Group, evidence: Evidence, look: Look) -> list[Remedy]:
    counts, asked = look.ground.counts, look.categories(group)
    even = sum(counts.values()) / len(counts) if counts else 0.0
    found: list[Remedy] = []
    for category, items in asked.most_common():
        if items >= A_PART * len(group.failing):
            lacking = even - counts[category] if category in counts else 0.0
            count = min(MOST, max(FEWEST, PER_ITEM * items, ceil(lacking)))
            found.append(MoreSamples(category=category, controls=_controls(group, look), count=count))
    return [*found, *_few_shots(group, [one for one, _ in asked.most_common(1)], look)]


def _replay(group: Group, evidence: Evidence, look: Look) -> list[Remedy]:
    labels = tuple(sorted({case.label for case in look.failing(group) if case.label}))
    return [ReplayMore(of="replay" if look.in_task else "rehearsal", labels=labels if look.in_task else ())]


def _controls(group: Group, look: Look) -> dict[str, str]:
    """What the writer can be asked for, where that is what the group has in common."""
    cases = look.failing(group)
    if group.axis in ("difficulty", "label and difficulty"):
        return {"difficulty": str(cases[0].difficulty)}
    if group.axis == "length":
        return {"length": f"about {round(float(np.median([len(words(case.text)) for case in cases])))} words"}
    return {}


def _few_shots(group: Group, categories: list[str], look: Look) -> list[Remedy]:
    """The training samples of the group's commonest category that lie nearest to its items on average."""
    if look.near is None or look.ground.vectors is None or not (rows := look.near.rows(sorted(group.failing))):
        return []
    own = look.ground.shown(place for category in categories for place in look.ground.of_label(category))
    if not own:
        return []
    cosines = look.ground.vectors[own].astype(np.float64) @ mean_direction(look.near.items[rows])
    best = [look.ground.learnt[own[at]].id for at in np.argsort(-cosines, kind="stable")[:SHOTS]]
    return [FewShots(shots=_shown(tuple(best), look))]


def _shown(ids: tuple[str, ...], look: Look) -> tuple[Shown, ...]:
    known = {one.id: one for one in look.ground.learnt if one.id not in look.ground.hidden}
    return tuple(Shown(id=id, text=known[id].text, answer=known[id].answer) for id in ids if id in known)


def _or(labels: tuple[str, ...]) -> str:
    return " or ".join(f"`{label}`" for label in labels)
