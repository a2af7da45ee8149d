"""Meaning: what tells a child that says what its parent says from one that does not, and which thresholds follow.

    python -m wheelwork.benchmarks.meaning     half a minute: distributions, ROC, thresholds, what they let through

`meaning.jsonl` holds families: a parent, children that say the same, by the operation that makes such, and children
that do not, by what is wrong with them. Every second family chooses the thresholds, the others are only reported.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from wheelwork.core.generation.augment.facts import changed_facts
from wheelwork.core.generation.augment.polarity import turned_round
from wheelwork.core.generation.augment.settings import Augmentation, InOtherWords, Operation
from wheelwork.core.models.encoder import Encode, Encoder
from wheelwork.core.models.store import ModelStore
from wheelwork.core.settings import parse

from .results import Figure, publish

DATA = Path(__file__).with_name("meaning.jsonl")
ENCODER = "all-minilm-l6-v2"
RECALL = 0.9
"""Of the children that say the same, the share that a threshold is to keep."""
TOGETHER = {"voice": ("voice", "clauses"), "clauses": ("voice", "clauses")}  # both rebuild sentences, and are few each
OTHERS = ("number", "negation", "opposite", "roles", "word", "subject")  # what can be wrong

Scores = NDArray[np.float64]


class Child(NamedTuple):
    """A child beside its parent: `kind` is the operation that made it, or what is wrong with it."""

    family: int
    language: str
    same: bool
    kind: str
    parent: str
    text: str


def main() -> None:
    children = read(DATA)
    cosines = measure(children, Encoder.load(ModelStore().get(ENCODER)))
    figures = []
    for language in ("en", "zh"):
        own = [index for index, child in enumerate(children) if child.language == language]
        figures += report([children[index] for index in own], cosines[own])
    publish("meaning", figures)


def read(path: Path) -> list[Child]:
    """Every child of the file, family by family."""
    families = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Child(number, family["language"], part == "same", kind, family["parent"], text)
        for number, family in enumerate(families)
        for part in ("same", "other")
        for kind, text in family[part].items()
    ]


def measure(children: Sequence[Child], encode: Encode) -> Scores:
    """Cosine of each child to its parent (n,)."""
    texts = list(dict.fromkeys(text for child in children for text in (child.parent, child.text)))
    rows = dict(zip(texts, encode(texts), strict=True))
    return np.array([float(rows[child.parent] @ rows[child.text]) for child in children])


def thresholds(children: Sequence[Child], cosines: Scores) -> dict[str, float]:
    """By operation, in hundredths: the largest that keeps RECALL of what says the same in the families that choose."""
    chosen = {}
    for kind in kinds(children, same=True):
        own = [c for child, c in _with(children, cosines, True, TOGETHER.get(kind, (kind,))) if _chooses(child)]
        chosen[kind] = floor(100 * float(np.quantile(own, 1 - RECALL, method="lower"))) / 100
    return chosen


def kinds(children: Iterable[Child], same: bool) -> list[str]:
    return list(dict.fromkeys(child.kind for child in children if child.same is same))


def report(children: Sequence[Child], cosines: Scores) -> Iterator[Figure]:
    """The figures of one language."""
    language, chosen = children[0].language, thresholds(children, cosines)
    for same in (True, False):
        for kind in kinds(children, same):
            own = [cosine for _, cosine in _with(children, cosines, same, (kind,))]
            for name, quantile in zip(("5%", "median", "95%"), np.quantile(own, (0.05, 0.5, 0.95)), strict=True):
                yield Figure(f"{language} {_said(same)}, {kind}", ENCODER, name, quantile, f"of {len(own)}")
    right = np.array([cosine for child, cosine in zip(children, cosines, strict=True) if child.same])
    for kind in (*kinds(children, same=False), "all"):
        wrong = np.array([c for _, c in _with(children, cosines, False, OTHERS if kind == "all" else (kind,))])
        yield Figure(f"{language} ROC, other: {kind}", ENCODER, "area", area(right, wrong), "0.5 is chance")
    for kind, threshold in chosen.items():
        yield Figure(f"{language} threshold, {kind}", ENCODER, f"keeps {RECALL:.0%}", threshold, "cosine")
    yield from _kept([c for c in zip(children, cosines, strict=True) if not _chooses(c[0])], chosen, language)


def area(right: Scores, wrong: Scores) -> float:
    """Area under the ROC curve: how often one of `right` is above one of `wrong`; a tie is half (Hanley 1982)."""
    return float((right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2)


def _kept(pairs: Sequence[tuple[Child, float]], chosen: dict[str, float], language: str) -> Iterator[Figure]:
    """What passes in the families that did not choose.

    A child that says something else could come from any operation, so its figure is the mean over all of them; a wrong
    word comes from `words`.
    """
    for system, checked in (("cosine", False), ("cosine and words", True)):
        shares: dict[bool, list[float]] = {True: [], False: []}
        for same in (True, False):
            for kind in kinds((child for child, _ in pairs), same):
                own = [(child, cosine) for child, cosine in pairs if child.same is same and child.kind == kind]
                by = [kind] if same else ["words"] if kind == "word" else list(chosen)
                passed = [
                    np.mean([cosine >= chosen[name] and not (checked and caught(child, name)) for name in by])
                    for child, cosine in own
                ]
                shares[same] += map(float, passed)
                case = f"{language} kept, {_said(same)}, {kind}"
                yield Figure(case, system, "kept", 100 * float(np.mean(passed)), f"% of {len(own)}")
        right, wrong = sum(shares[True]), sum(shares[False])
        yield Figure(f"{language} kept, all", system, "recall", 100 * right / len(shares[True]), "%")
        yield Figure(f"{language} kept, all", system, "wrong ones kept", 100 * wrong / len(shares[False]), "%")
        yield Figure(f"{language} kept, all", system, "precision", 100 * right / (right + wrong), "%")


def caught(child: Child, operation: str) -> bool:
    """Whether the words alone tell that a child of `operation` says something else."""
    keeps = settings_of(operation).keeps
    return bool(changed_facts(child.parent, child.text, keeps)) or turned_round(child.parent, child.text)


def settings_of(operation: str) -> Operation:
    """An operation with its defaults."""
    data = {"operations": [{"kind": operation}]}
    return parse(Augmentation, data, "benchmarks/meaning.py").operations[0]


def defaults(operations: Iterable[str]) -> dict[str, float]:
    """The thresholds as they stand in the settings."""
    found = {name: settings_of(name) for name in operations}
    return {name: operation.min_similarity for name, operation in found.items() if isinstance(operation, InOtherWords)}


def _with(
    children: Sequence[Child], cosines: Iterable[float], same: bool, of: Sequence[str]
) -> list[tuple[Child, Any]]:
    return [pair for pair in zip(children, cosines, strict=True) if pair[0].same is same and pair[0].kind in of]


def _chooses(child: Child) -> bool:
    return child.family % 2 == 0


def _said(same: bool) -> str:
    return "same" if same else "other"


if __name__ == "__main__":
    main()
