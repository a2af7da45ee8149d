"""Labels that people gave to texts of the traffic, as samples of the pool."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, LeakError
from ..formats import LabelledText
from ..generation.example import Example
from ..labelled import distinct, require_known
from ..ledger.corrections import remember
from ..ledger.store import Ledger
from ..loops import Loop, load_loop
from ..pool.agreement import PairAgreement, pairwise_agreement
from ..pool.annotators import DECISION, LABEL, answers_of, cells_of
from ..pool.log import Line
from ..pool.store import Pool
from ..pool.versions import Added, Version, View, text_key
from ..rows import naming, not_empty, read_rows
from ..samples import Sample
from ..settings import Setting

ORIGIN = "human"


class TextLabels(Setting):
    """One text, and which label each reviewer gave it."""

    line: int
    text: str
    votes: dict[str, str]

    @property
    def label(self) -> str | None:
        """The label that most give; None without one, or where two have as many."""
        ranked = Counter(self.votes.values()).most_common(2)
        tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
        return None if not ranked or tied else ranked[0][0]


class TookLabels(NamedTuple):
    """What became of the rows, how far reviewers agree, and the pool's new line, if any."""

    counts: dict[str, int]
    agreement: list[PairAgreement]
    line: Line | None
    ledger: str = ""  # what came into the loop's ledger, in words


def is_queue(path: Path) -> bool:
    """Whether a file holds texts to label, not samples to decide on. Raises DataError for one that has no rows."""
    for _, row in not_empty(path, read_rows(path)):
        cells = cells_of(row)
        return "text" in cells and "answer" not in cells and not any(name.startswith(DECISION) for name in cells)
    return False


def read_labels(path: Path) -> list[TextLabels]:
    """The texts and labels of a queue, or of what Argilla or Label Studio exports of one."""
    found = []
    for line, row in not_empty(path, read_rows(path)):
        with naming(path, line):
            text = str(cells_of(row).get("text") or "").strip()
            if not text:
                raise DataError("`text` is missing or empty; every row of a queue needs the text that is labelled")
            found.append(TextLabels(line=line, text=text, votes=_votes(row)))
    return found


def take_labels(pool: Pool, folder: Path, path: Path) -> TookLabels:
    """Bring the labels of a queue into the pool, with the origin `human`; the same file again changes nothing.

    A label that people give goes before the one that a sample of the pool has. Raises DataError for a label that is
    none, LeakError for a text that is held out; both name file and line.
    """
    rows = read_labels(path)
    view = pool.view(pool.head())
    loop = load_loop(folder, excluded=view.excluded)
    labelled = [LabelledText(row.line, row.text, row.label) for row in rows if row.label is not None]
    require_known(labelled, loop.labels, path)
    counts = Counter({"not labelled": len(rows) - len(labelled)})
    present = loop.present.also(text.text for text in Ledger(pool.home, pool.loop).held_out())
    made = []
    for text in distinct(labelled, path):
        if present.leaks(text.text):
            raise LeakError(f"{path}:{text.line}: this text is held out to measure on; remove the row")
        made.append(_sample(loop, text, path))
    fresh, excluded = _fresh(made, loop, view, counts)
    added: tuple[Added, ...] = ()
    if fresh:
        file = pool.store.write_samples(fresh)
        added = (Added(digest=file.digest, rows=file.rows),)
    line = pool.review(Version(excluded=excluded, added=added), why=f"labels of {path.name}")
    before = {view.entries[id].key for id in excluded}
    corrected = [sample for sample in fresh if text_key(sample) in before]
    told = remember(pool.home, loop, corrected, {}, why=f"a label of {path.name}")
    return TookLabels(dict(+counts), pairwise_agreement(row.votes for row in rows), line, told)


def _fresh(made: list[Sample], loop: Loop, view: View, counts: Counter[str]) -> tuple[list[Sample], dict[str, str]]:
    """Those of `made` that are new to the pool, and the ids whose label people say is another."""
    holders = {entry.key: entry for entry in view.entries.values()}
    fresh, excluded = list[Sample](), dict[str, str]()
    for sample, fit in zip(made, loop.present.fit(made), strict=True):
        there = holders.get(text_key(sample))
        if isinstance(fit, str):
            counts[fit.replace("_", " ")] += 1
        elif sample.id in view.excluded:
            counts["excluded before"] += 1
        elif there is not None and there.id == sample.id and there.mark is None:
            counts["there already"] += 1
        else:
            fresh.append(sample)
            counts["labelled"] += 1
            if there is not None and there.id != sample.id:
                counts["of them with another label before"] += 1
                excluded[there.id] = f"people say {sample.label}"
    return fresh, excluded


def _sample(loop: Loop, text: LabelledText, path: Path) -> Sample:
    example = Example(text=text.text, answer=text.label, label=text.label, category=text.label)
    return loop.material.writing.sample(example, origin=ORIGIN, source=f"{path.name}:{text.line}")


def _votes(row: Mapping[str, Any]) -> dict[str, str]:
    answers = answers_of(row)
    if answers is not None:
        return {reviewer: said for reviewer, question, said in answers if question == LABEL}
    columns = [name for name in row if name == LABEL or name.startswith(f"{LABEL}.")]
    votes = {name.removeprefix(LABEL).removeprefix("."): str(row[name] or "").strip() for name in columns}
    return {reviewer: said for reviewer, said in votes.items() if said}
