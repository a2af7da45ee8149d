"""Which corrections of users are taken, as which samples, and why others are not. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..generation.documents import Passage
from ..generation.example import Example
from ..ledger.entries import Entry as LedgerEntry
from ..ledger.entries import Held
from ..loops import Loop
from ..pool.replay import BY_PEOPLE
from ..pool.versions import Entry, View, text_key
from ..quality.funnel import Funnel
from ..samples import Sample
from ..text import normalised
from .archive import Voiced, feedback_id
from .said import Question, label_in, question_of

SOURCE = "traffic:"
"""How the source of a sample begins that came of a user's correction; the id of the exchange follows."""
TAKEN, OPEN = "taken", ("disputed", "too few say so")
"""What became of a correction that is learnt from; what may still become of one that waits for others."""


class Correction(NamedTuple):
    """What one user says that one answer should have been."""

    id: str  # of the feedback
    exchange: str
    by: str  # hash of the user, or what else tells one from another
    at: float
    question: Question
    right: str


class Chosen(NamedTuple):
    """The corrections that are taken, one for each question, and what became of every one that was looked at."""

    taken: list[Correction]
    outcomes: dict[str, str]


def corrections_in(
    found: Iterable[Voiced], labels: Sequence[str], passages: Mapping[str, Passage]
) -> tuple[list[Correction], dict[str, str]]:
    """Every correction that can be read, the oldest first, and by id why others cannot.

    Of a loop with labels a correction is one of them, and nothing else: no text is searched for one.
    """
    read, unreadable = list[Correction](), dict[str, str]()
    for exchange, said in found:
        question = question_of(exchange, passages)
        for one in said:
            if one.correction is None:
                continue
            id, right = feedback_id(one), one.correction.strip()
            label = label_in(right, labels) if labels else right
            if not right:
                unreadable[id] = "empty"
            elif label is None:
                unreadable[id] = "no label of the loop"
            elif question is None:
                unreadable[id] = "no question stored"
            else:
                by = exchange.user or exchange.conversation or exchange.id
                read.append(Correction(id, exchange.id, by, one.at, question, label))
    return sorted(read, key=lambda one: (one.at, one.id)), unreadable


def choose(corrections: Sequence[Correction], done: Mapping[str, str], agree: int, *, labelled: bool) -> Chosen:
    """The answer to take for each question of which something is not `done` yet.

    Each user has one voice for a question, the last one. The answer with the most voices is taken, if there are at
    least `agree`; of several labels with as many none is, and of several texts, which seldom are the same, the latest.
    """
    questions: dict[str, list[Correction]] = defaultdict(list)
    for one in corrections:
        questions[one.question.key].append(one)
    taken, outcomes = list[Correction](), dict[str, str]()
    for group in questions.values():
        if all(one.id in done and done[one.id] not in OPEN for one in group):
            continue
        last = {one.by: one for one in group}
        voices = Counter(normalised(one.right) for one in last.values())
        most = max(voices.values())
        first = [answer for answer, count in voices.items() if count == most]
        best = max((one for one in last.values() if normalised(one.right) in first), key=lambda one: (one.at, one.id))
        verdict = "disputed" if labelled and len(first) > 1 else "too few say so" if most < agree else TAKEN
        for one in group:
            same = normalised(one.right) == normalised(best.right)
            outcomes[one.id] = verdict if verdict != TAKEN or same else "others say otherwise"
        if verdict == TAKEN:
            taken.append(best)
    return Chosen(taken, outcomes)


def sample_of(one: Correction, loop: Loop) -> Sample:
    """A correction as a sample to train on, under the prompt that the loop has now."""
    label = one.right if loop.labels else None
    question = one.question
    example = Example(
        text=question.text,
        answer=one.right,
        label=label,
        category=label or "",
        history=question.history,
        passage=question.passage,
    )
    passage = loop.material.passage_text((question.passage,) if question.passage else ())
    return loop.writing().sample(example, passage, origin="feedback", source=f"{SOURCE}{one.exchange}")


def against_seeds(samples: Sequence[Sample], loop: Loop) -> set[str]:
    """Ids of samples whose question is a seed's, and whose answer is another than the seed's.

    A seed is what the loop's owner says; it is mended in the file of seeds.
    """
    said = {normalised(seed.text): normalised(seed.answer) for seed in loop.seeds if not seed.history}
    return {
        one.id
        for one in samples
        if said.get(normalised(one.prompt), normalised(one.completion)) != normalised(one.completion)
    }


def sifting(funnel: Funnel) -> Funnel:
    """The filters of the loop that corrections pass as well.

    Not those that ask teachers or other models, which are for what a model wrote; and not `label_agreement`: it drops
    just what the encoder and the champion get wrong.
    """
    kept = [
        one
        for one in funnel.filters
        if one.kind != "label_agreement" and not {"review", "models"} & set(getattr(one, "needs", ()))
    ]
    return funnel.model_copy(update={"filters": tuple(kept)})


class Fresh(NamedTuple):
    """Samples that are new to the pool, ids that leave it for them, and by id why others do not come in."""

    samples: list[Sample]
    excluded: dict[str, str]
    left: dict[str, str]


def fresh(samples: Sequence[Sample], view: View) -> Fresh:
    """What of `samples` the pool lacks; what a model labelled otherwise goes, what people labelled stays."""
    holders = {entry.key: entry for entry in view.entries.values()}
    new, excluded, left = list[Sample](), dict[str, str](), dict[str, str]()
    for sample in samples:
        there = holders.get(text_key(sample))
        if sample.id in view.excluded:
            left[sample.id] = "excluded before"
        elif there is not None and there.id == sample.id and there.mark is None:
            left[sample.id] = "there already"
        elif there is not None and there.id != sample.id and _of_reviewers(there):
            left[sample.id] = "reviewers say otherwise"
        else:
            new.append(sample)
            if there is not None and there.id != sample.id:
                excluded[there.id] = f"users say otherwise: {sample.label or sample.completion[:60]}"
    return Fresh(new, excluded, left)


def against_reviewers(entries: Sequence[LedgerEntry], held: Mapping[str, Held]) -> set[str]:
    """Ids of entries that say otherwise than what reviewers, or whoever brought a file, did to the ledger.

    What somebody has retired is not brought back by another answer of users.
    """
    return {
        one.id
        for one in entries
        if (there := held.get(one.id)) is not None
        and there.entry.right != one.right
        and not (there.active and there.entry.origin.source.startswith(SOURCE))
    }


def _of_reviewers(entry: Entry) -> bool:
    return entry.origin in BY_PEOPLE and not entry.source.startswith(SOURCE)
