"""What a child must have kept of its parent: the meaning, the facts, and the label or answer that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...models.encoder import Encode, Vectors
from ...samples import Sample
from ...text import normalised
from .facts import Facts, changed_facts
from .polarity import turned_round
from .settings import Augmentation


@dataclass(frozen=True)
class Pair:
    """A child beside its parent: the texts that the operation began and ended with, and what it was to keep.

    `min_similarity` is the operation's smallest cosine of the two. `answer` is what the model should say; empty where
    the answer is a label, or is itself what was changed.
    """

    parent: str
    child: str
    keeps: Facts
    min_similarity: float = -1.0
    answer: str = ""
    label: str | None = None
    judged_by_test: bool = False


@dataclass(frozen=True)
class Verdict:
    """Why a child cannot stand for its parent, or None; and what was measured."""

    reason: str | None
    scores: dict[str, float] = field(default_factory=dict)


class Preservation:
    """Judges children by embeddings of `encode`; `seeds` are (text, label), whose means stand for the labels."""

    def __init__(self, encode: Encode, settings: Augmentation, seeds: Sequence[tuple[str, str]] = ()) -> None:
        self._encode = encode
        self._settings = settings
        self._labels = sorted({label for _, label in seeds})
        self._centroids = self._means(seeds) if len(self._labels) > 1 else None

    def __call__(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """A verdict for each pair, in their order.

        Scores: `parent_similarity`; `label_margin` for a label that has seeds, of several; `answer_similarity` where
        there is an answer. What cannot be measured has no score, and speaks against no child.
        """
        rows = self._embed(pairs)
        return [self._verdict(pair, rows) for pair in pairs]

    def _verdict(self, pair: Pair, rows: dict[str, Vectors]) -> Verdict:
        settings, child = self._settings, rows[pair.child]
        scores = {"parent_similarity": float(rows[pair.parent] @ child)}
        if pair.judged_by_test:
            return Verdict(None, scores)
        reason = None if scores["parent_similarity"] >= pair.min_similarity else "meaning_changed"
        if reason is None and changed_facts(pair.parent, pair.child, pair.keeps):
            reason = "facts_changed"
        if reason is None and turned_round(pair.parent, pair.child):
            reason = "turned_round"
        if (margin := self._margin(child, pair.label)) is not None:
            scores["label_margin"] = margin
            reason = reason or ("label_changed" if margin < -settings.label_margin else None)
        if pair.answer:
            answer = rows[pair.answer]
            scores["answer_similarity"] = float(child @ answer)
            lost = float(rows[pair.parent] @ answer) - scores["answer_similarity"]
            reason = reason or ("answer_changed" if lost > settings.answer_margin else None)
        return Verdict(reason, scores)

    def _margin(self, child: Vectors, label: str | None) -> float | None:
        if self._centroids is None or label not in self._labels:
            return None
        cosines, own = self._centroids @ child, self._labels.index(label)
        return float(cosines[own] - np.delete(cosines, own).max())

    def _means(self, seeds: Sequence[tuple[str, str]]) -> Vectors:
        """Unit rows (labels, d)."""
        rows = self._encode([text for text, _ in seeds])
        own = np.array([self._labels.index(label) for _, label in seeds])
        means = np.stack([rows[own == index].mean(axis=0) for index in range(len(self._labels))])
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        centroids: Vectors = (means / np.where(lengths == 0, 1, lengths)).astype(np.float32)
        return centroids

    def _embed(self, pairs: Sequence[Pair]) -> dict[str, Vectors]:
        texts = list(dict.fromkeys(text for pair in pairs for text in (pair.parent, pair.child, pair.answer) if text))
        return dict(zip(texts, self._encode(texts), strict=True)) if texts else {}


def quote_lost(child: Sample) -> bool:
    """Whether a child has words that its answer rests on, and its messages no longer hold them."""
    quote = normalised(child.controls.get("quote", ""))
    return bool(quote) and all(quote not in normalised(turn.content) for turn in child.messages[:-1])
