"""What comes into the ledger: items that a promoted round fixed, corrections of people, and rows of a file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError, LeakError
from ..evaluation.scorers import Item
from ..evaluation.suites import Suite, read_suite
from ..loops import Loop
from ..quality.known import Text
from ..samples import Sample
from ..text import nearest, normalised
from .entries import Entry, Origin, is_right, refuse_unscorable
from .store import Ledger

Scores = Sequence[float | None]


class Fitting(NamedTuple):
    """Corrections as entries, and how many tell no right answer that a suite of the loop could score."""

    entries: list[Entry]
    left_out: int

    @property
    def note(self) -> str:
        """A sentence about what was left out; empty where nothing was."""
        if not self.left_out:
            return ""
        what = "correction has" if self.left_out == 1 else "corrections have"
        return (
            f"{self.left_out} {what} no right answer that a target of the loop can score, and came not into the "
            "ledger; give what a right reply holds in a file: wheelwork ledger add LOOP FILE"
        )


def fixed_items(
    suite: Suite, champion: Scores | None, candidate: Scores, round_id: str, right_from: float
) -> list[Entry]:
    """The items of a target that a promoted round fixed: wrong under the champion that it replaced, right now.

    A first round replaced nobody, so that it fixed nothing. Guards are no part of it: they are there so that nothing
    gets worse, and what they gain is chance.
    """
    if suite.settings.role != "target" or champion is None or not suite.settings.tells_alone:
        return []
    origin = Origin(kind="round", round=round_id, suite=suite.name)
    return [
        Entry.of(item, suite, origin.model_copy(update={"source": f"{suite.path.name}:{line}"}))
        for item, line, before, now in zip(suite.items, suite.lines, champion, candidate, strict=True)
        if before is not None and now is not None and before < right_from <= now
    ]


def corrected_samples(
    samples: Iterable[Sample], loop: Loop, origin: Origin, right_from: float, by: Mapping[str, str] | None = None
) -> Fitting:
    """Samples that people corrected, as entries: asked and scored as the first target that can tell them right.

    `by` names who corrected each, by its id.
    """
    targets = [suite for suite in loop.suites.values() if suite.settings.role == "target"]
    entries, left_out = list[Entry](), 0
    for sample in samples:
        said = origin.model_copy(update={"source": sample.source, "by": (by or {}).get(sample.id, origin.by)})
        found = (_entry(sample, suite, said, right_from) for suite in targets if suite.settings.tells_alone)
        entry = next(filter(None, found), None)
        left_out += entry is None
        entries += [entry] if entry else []
    return Fitting(entries, left_out)


def read_corrections(
    path: Path, loop: Loop, suite: str | None, by: str, right_from: float, held_out: Sequence[Text] = ()
) -> list[Entry]:
    """The rows of a file in the fields of a suite, by default the first target, as entries of the origin `feedback`.

    Raises DataError naming file and line for a row that cannot be read, that says two things of one question, or whose
    right answer its own scorer does not find right; LeakError for one that a suite holds out, or one of `held_out`.
    """
    chosen = _suite_called(loop, suite)
    refuse_unscorable(chosen)
    settings = chosen.settings.model_copy(update={"path": str(path.resolve())})
    read = read_suite(chosen.name, settings, loop.folder, tuple(loop.labels))
    known = {normalised(text): "a suite" for text in loop.present.held_out}
    known |= {normalised(text.text): text.place for text in held_out}
    entries: dict[str, Entry] = {}
    for line, item in zip(read.lines, read.items, strict=True):
        place = known.get(normalised(item.prompt))
        if place is not None and not item.history:
            raise LeakError(
                f"{path}:{line}: this question is held out ({place}), and a correction may be learnt; remove the row"
            )
        _require_passages(item, loop, path, line)
        origin = Origin(kind="feedback", by=by, suite=chosen.name, source=f"{path.name}:{line}")
        entry = Entry.of(item, read, origin)
        if not is_right(entry, right_from):
            raise DataError(
                f"{path}:{line}: by `{entry.scorer.kind}` the right answer itself scores less than "
                f"`ledger.right_from`, {right_from:g}; mend the row, or lower that setting"
            )
        if (before := entries.setdefault(entry.id, entry)).right != entry.right:
            raise DataError(
                f"{path}:{line}: {before.origin.source} gives another answer to the same question; keep one"
            )
    return list(entries.values())


def _suite_called(loop: Loop, name: str | None) -> Suite:
    if name is None:
        return next(suite for suite in loop.suites.values() if suite.settings.role == "target")
    if name not in loop.suites:
        raise DataError(f"--suite {name}: the loop has no such suite; {nearest(name, loop.suites)}")
    return loop.suites[name]


def _require_passages(item: Item, loop: Loop, path: Path, line: int) -> None:
    known = loop.material.passages
    if unknown := [name for name in item.passages if name not in known]:
        raise DataError(f"{path}:{line}: no passage `{unknown[0]}`; {nearest(unknown[0], known)}")


def _entry(sample: Sample, suite: Suite, origin: Origin, right_from: float) -> Entry | None:
    """The sample as an item of `suite`; None where that cannot tell a right answer by the sample's."""
    turns = [turn for turn in sample.messages if turn.role != "system"]
    passage = sample.controls.get("passage", "")
    labelled = sample.label is not None
    item = Item(
        id=sample.id,
        prompt=sample.prompt,
        label=sample.label,
        answers=() if labelled else (sample.completion,),
        history=tuple(turns[:-2]),
        passages=(passage,) if passage else (),
        slice=sample.label or sample.controls.get("category") or None,
    )
    entry = Entry.of(item, suite, origin.model_copy(update={"suite": suite.name}))
    try:
        return entry if is_right(entry, right_from) else None
    except DataError:  # the scorer needs what a sample does not have, such as keywords
        return None


def remember(home: Path, loop: Loop, samples: Sequence[Sample], by: Mapping[str, str], why: str) -> str:
    """Take what people corrected outside of a round into the ledger, a newer word before an older; in words, what was.

    `by` names who corrected each sample, by its id. Empty where there is nothing to take in, or the ledger is off.
    """
    settings = loop.settings.ledger
    if settings.off or not samples:
        return ""
    found = corrected_samples(samples, loop, Origin(kind="review"), settings.right_from, by)
    taken = Ledger(home, loop.name).add(found.entries, replace=True, why=why)
    return ". ".join(filter(None, (taken.sentence, found.note)))
