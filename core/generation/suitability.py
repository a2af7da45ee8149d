"""Whether a task suits a small model that trains itself: is it structured, learnable, verifiable, and no known bad fit?

Three questions, answered from the configuration and the data with figures. An answer of "no" is a warning. A bad fit is
refused, unless the loop acknowledges it with a reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ..errors import ConfigError
from ..evaluation.gate import GateSettings
from ..evaluation.statistics import minimal_detectable, spent_alpha
from ..settings import Setting
from ..text import words
from .bad_fits import BadFit, Kind, bad_fits

Verdict = Literal["yes", "weak", "no"]
Figures = Mapping[str, float]

ENOUGH, FEWEST = 5, 2  # seeds of a label: good from, weak from
MOST_SEEDS = 2000
MOST_LABELS = 50
SAME = 0.9  # cosine of texts that say the same
IMBALANCE = 10.0
CLEAR_GAIN, LARGE_GAIN = 0.15, 0.3
DISCORDANCE = 0.2  # share of items that two models of a loop differ on, assumed before any was measured
RIGHT_ANSWERS = {"exact_label", "answer_em", "matches", "answer_f1", "keywords", "multiple_choice", "code_tests"}
NO_ANSWERS = {"perplexity"}


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """A target suite: the kind of its scorer, and how many items it has."""

    name: str
    scorer: str
    items: int


@dataclass(frozen=True)
class Facts:
    """What the check looks at.

    `labels`: label or category → description. `counts`: the number of seeds of each, of all seeds. `seeds`: (text,
    label or category), all of them or a sample. `passages`: how many there are, `under_headings` of them under a
    heading; None without documents.
    """

    task: str
    name: str = ""
    description: str = ""
    instruction: str = ""
    setting: str = ""
    language: str = "en"
    labels: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    seeds: Sequence[tuple[str, str]] = ()
    targets: Sequence[SuiteFacts] = ()
    passages: int | None = None
    under_headings: int = 0


@dataclass(frozen=True)
class Answer:
    """The answer to one question, why, and the figures it rests on."""

    verdict: Verdict
    why: str
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class Suitability:
    """The three answers."""

    structured: Answer
    learnable: Answer
    verifiable: Answer


class Acknowledged(Setting):
    """A bad fit that somebody answers for."""

    fit: Kind = Field(description="the use that the check refuses")
    reason: str = Field(min_length=10, description="why it is done all the same; it is logged")

    @field_validator("reason")
    @classmethod
    def _says_something(cls, reason: str) -> str:
        if len(reason.strip()) < 10:
            raise ValueError("a reason of a few words is needed")
        return reason


def assess(facts: Facts, gate: GateSettings | None = None) -> Suitability:
    """Answer the three questions. Pure; under a second for 2,000 seeds."""
    return Suitability(_structured(facts), _learnable(facts), _verifiable(facts, gate or GateSettings()))


def bad_fits_of(facts: Facts) -> tuple[BadFit, ...]:
    """What the task is a bad fit for. Pure, and much quicker than `assess`: every reading of a loop asks it."""
    said = {
        "name": facts.name.replace("_", " ").replace("-", " "),
        "description": facts.description,
        "instruction": facts.instruction,
        "setting": facts.setting,
    }
    return bad_fits(said, facts.labels, [text for text, _ in facts.seeds], facts.task)


def refuse_bad_fits(
    found: Sequence[BadFit], acknowledged: Sequence[Acknowledged], where: str = "loop.yaml"
) -> list[tuple[BadFit, str]]:
    """The bad fits that are acknowledged, with their reasons, for the log. Raises ConfigError for any other."""
    reasons = {entry.fit: entry.reason for entry in acknowledged}
    for fit in found:
        if fit.kind not in reasons:
            raise ConfigError(
                f"{where}: this looks like {fit.kind.replace('_', ' ')} ({fit.evidence}), which is refused because "
                f'{fit.why}; if you answer for it, add `acknowledge: [{{fit: {fit.kind}, reason: "…"}}]`'
            )
    return [(fit, reasons[fit.kind]) for fit in found]


# structured: how free is the answer?


def _structured(facts: Facts) -> Answer:
    if facts.task == "classify":
        count = len(facts.labels)
        if count > MOST_LABELS:
            return Answer("weak", f"{count} labels stand in every prompt; group them", {"labels": count})
        return Answer("yes", f"the answer is one of {count} labels", {"labels": count})
    if facts.task == "code":
        return Answer("yes", "an answer is code that parses and passes its test")
    if facts.task == "grounded_qa":
        if not facts.passages:
            return Answer("no", "there are no passages to answer from; give `documents`", {"passages": 0})
        share = facts.under_headings / facts.passages
        figures = {"passages": facts.passages, "under_headings": share}
        if share < 0.5:
            return Answer("weak", f"only {share:.0%} of the passages stand under a heading; add headings", figures)
        return Answer("yes", f"the answer stands in one of {facts.passages} passages", figures)
    if facts.task in ("summarize", "rewrite"):
        return Answer("weak", "the answer is free text, held only to the text it is made from")
    if facts.task in ("qa", "dialogue"):
        return Answer("weak", "the answer is free text that nothing holds to a source")
    return Answer("no", f"nothing is known about the answers of a task `{facts.task}`")


# learnable: do the seeds say what is wanted?


def _learnable(facts: Facts) -> Answer:
    counts = [facts.counts.get(label, 0) for label in facts.labels or facts.counts]
    fewest, most = (min(counts), max(counts)) if counts else (0, 0)
    figures: dict[str, float] = {"seeds": sum(facts.counts.values()), "fewest": fewest, "most": most}
    few = sum(count < FEWEST for count in counts)
    answers = [Answer("yes", f"{figures['seeds']:g} seeds, at least {fewest} of each kind")]
    if not counts or few > len(counts) / 2:
        answers.append(Answer("no", f"fewer than {FEWEST} seeds for most kinds; write {ENOUGH} of each"))
    elif fewest < ENOUGH:
        kind = next(name for name in facts.labels or facts.counts if facts.counts.get(name, 0) == fewest)
        answers.append(Answer("weak", f"only {fewest} seeds of `{kind}`; write {ENOUGH} of each"))
    elif most > IMBALANCE * fewest:
        answers.append(Answer("weak", f"one kind has {most} seeds and another {fewest}; even them out"))
    if facts.task == "classify":
        answers += _told_apart(_thinned(facts.seeds), figures)
    worst = max(answers, key=lambda answer: ("yes", "weak", "no").index(answer.verdict))
    return Answer(worst.verdict, worst.why, figures)


def _thinned(seeds: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    return seeds[:: -(-len(seeds) // MOST_SEEDS)] if seeds else seeds


def _told_apart(seeds: Sequence[tuple[str, str]], figures: dict[str, float]) -> list[Answer]:
    """Whether the nearest other seed has the same label more often than chance, and which seeds contradict each other.

    Chance is the share of pairs with one label, Σ n(n − 1) / N(N − 1). Seeds that share no word with any other say
    nothing and are left out; below ten that do say something there is no answer.
    """
    from scipy.special import bdtrc  # the binomial's tail, without the second that scipy.stats takes to import

    rows, nearest, similarity = _neighbours([text for text, _ in seeds])
    labels = [label for _, label in seeds]
    answers: list[Answer] = []
    close = [(a, b) for a, b, s in zip(rows, nearest, similarity, strict=True) if s >= SAME and labels[a] != labels[b]]
    figures["contradictions"] = len(close)
    if close:
        a, b = (seeds[index] for index in close[0])
        why = f"“{_short(a[0])}” is `{a[1]}`, but “{_short(b[0])}” is `{b[1]}`; seeds that say the same need one label"
        answers.append(Answer("no" if len(close) > len(seeds) / 10 else "weak", why))
    if len(rows) < 10:
        return answers
    total = len(labels)
    chance = sum(n * (n - 1) for n in Counter(labels).values()) / (total * (total - 1))
    hits = sum(labels[a] == labels[b] for a, b in zip(rows, nearest, strict=True))
    agreement = hits / len(rows)
    figures |= {"neighbours_agree": agreement, "chance": chance}
    if float(bdtrc(hits - 1, len(rows), chance)) > 0.05:
        why = f"the nearest seed has the same label in {agreement:.0%} of cases, no more than chance ({chance:.0%})"
        answers.append(Answer("no" if len(rows) >= 60 else "weak", f"{why}; check the labels, or write more seeds"))
    return answers


def _neighbours(texts: Sequence[str]) -> tuple[list[int], list[int], list[float]]:
    """Texts that share a word with another, their nearest other one by tf-idf cosine, and that cosine."""
    from scipy.sparse import csr_matrix

    said = [Counter(words(text)) for text in texts]
    spread = Counter(word for counts in said for word in counts)
    column = {word: index for index, word in enumerate(spread)}
    if len(texts) < 2 or not column:
        return [], [], []
    cells = [
        (row, column[word], n * np.log(len(texts) / spread[word]))
        for row, c in enumerate(said)
        for word, n in c.items()
    ]
    at_row, at_column, weight = (np.asarray(values) for values in zip(*cells, strict=True))
    matrix = csr_matrix((weight.astype(float), (at_row, at_column)), shape=(len(texts), len(column)))
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    cosine: NDArray[np.float64] = (matrix @ matrix.T).toarray() / np.maximum(np.outer(norms, norms), 1e-12)
    np.fill_diagonal(cosine, -1.0)
    nearest, best = cosine.argmax(axis=1), cosine.max(axis=1)
    rows = np.flatnonzero(best > 1e-9)
    return rows.tolist(), nearest[rows].tolist(), best[rows].tolist()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


# verifiable: could a gain be seen?


def _verifiable(facts: Facts, gate: GateSettings) -> Answer:
    if not facts.targets:
        return Answer("no", "no suite has the role `target`, so nothing can be shown to get better")
    answers = [_detectable(suite, gate) for suite in facts.targets]
    # every target has to pass the gate, so the worst of them decides
    return max(answers, key=lambda answer: ("yes", "weak", "no").index(answer.verdict))


def _detectable(suite: SuiteFacts, gate: GateSettings) -> Answer:
    effect = minimal_detectable(suite.items, DISCORDANCE, spent_alpha(gate.alpha, 1), gate.power)
    figures = {"items": suite.items, "min_detectable": effect}
    told = f"`{suite.name}`: {suite.items} items show a gain of {effect:.2f} or more"
    if suite.scorer in NO_ANSWERS:
        return Answer("no", f"`{suite.name}`: the scorer `{suite.scorer}` knows no right answers", figures)
    if suite.items < gate.min_items:
        needed = f"the gate needs {gate.min_items}"
        return Answer("no", f"`{suite.name}`: {suite.items} items are too few, {needed}; write more", figures)
    if effect > LARGE_GAIN:
        return Answer("no", f"{told}, which no round brings; write more", figures)
    if suite.scorer not in RIGHT_ANSWERS:
        return Answer(
            "weak", f"`{suite.name}`: the scorer `{suite.scorer}` measures likeness, not right answers", figures
        )
    if effect > CLEAR_GAIN:
        return Answer("weak", f"{told}; write more items, so that smaller gains are seen too", figures)
    return Answer("yes", told, figures)
