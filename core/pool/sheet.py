"""The review sheet: a few rows of the last round for people to decide on, and their decisions read back.

A sheet is any table that `rows` writes. People fill in `decision` (accept or reject; several people each have a column
`decision.NAME`), or correct a row under `new_text` and `new_answer`; what they leave empty changes nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from ..digests import digest_of
from ..errors import DataError, LeakError
from ..formats import LabelledText
from ..labelled import require_known
from ..rows import Row, naming, not_empty, read_rows, write_rows
from ..samples import Message, Sample
from ..text import nearest
from ..workspace import write_text
from .annotators import DECISION, DECISIONS, INTERFACE, WRITTEN, Tool, unwrapped, wrapped
from .fitting import Present
from .versions import View

LONGEST = 100_000  # characters; a field of CSV holds little more
SHOWN = ("id", "before", "text", "answer", "chosen", "score")


Said = Literal["accept", "reject", "undecided", "no decision"]


class Scored(Protocol):
    """What can stand on a sheet: an entry of the pool, or a sample of a round under way."""

    @property
    def id(self) -> str: ...

    @property
    def scores(self) -> Mapping[str, float]: ...


class Chosen(NamedTuple):
    """One row of the sheet, and why it is in it: `random` or `uncertain`."""

    entry: Scored
    why: str


class Decided(NamedTuple):
    """One row as people left it; empty texts where they changed nothing."""

    line: int
    id: str
    votes: Mapping[str, str]  # reviewer → decision
    new_text: str = ""
    new_answer: str = ""


class Outcome(NamedTuple):
    """What the decisions come to: ids that leave, with why, ids that are vouched for, and corrected samples."""

    rejected: dict[str, str]
    accepted: tuple[str, ...]
    corrected: list[Sample]
    untouched: dict[str, int]  # rows that change nothing, by reason


def choose(view: View, count: int, by: str, seed: int) -> list[Chosen]:
    """`count` entries of the last round, as `pick` does."""
    last = [entry for entry in view.entries.values() if view.rounds and entry.ordinal == len(view.rounds)]
    return pick([entry for entry in last if entry.first_round], count, by, seed)


def pick(entries: Iterable[Scored], count: int, by: str, seed: int) -> list[Chosen]:
    """`count` of `entries`: half with the smallest score `by`, the rest at random; fewer if there are fewer.

    Where entries have no such score, more are chosen at random. The order tells nothing about the choice.
    """
    shuffled = sorted(entries, key=lambda entry: digest_of([seed, entry.id]))
    scored = sorted((entry for entry in shuffled if by in entry.scores), key=lambda entry: entry.scores[by])
    uncertain = {entry.id for entry in scored[: count // 2]}
    others = [entry.id for entry in shuffled if entry.id not in uncertain]
    random = set(others[: count - len(uncertain)])
    return [
        Chosen(entry, "uncertain" if entry.id in uncertain else "random")
        for entry in shuffled
        if entry.id in uncertain or entry.id in random
    ]


def sheet_rows(chosen: Sequence[Chosen], samples: Mapping[str, Sample], by: str) -> list[Row]:
    """What people see of each row."""
    rows = []
    for entry, why in chosen:
        turns = [turn for turn in samples[entry.id].messages if turn.role != "system"]
        score = entry.scores.get(by, inf)
        rows.append(
            {
                "id": entry.id,
                "before": _seen("\n".join(f"{turn.role}: {turn.content}" for turn in turns[:-2])),
                "text": _seen(samples[entry.id].prompt),
                "answer": _seen(samples[entry.id].completion),
                "chosen": why,
                "score": "" if score == inf else f"{score:.4f}",
            }
        )
    return rows


def _seen(text: str) -> str:
    """`text` as a sheet of any kind can show it; it is not read back, so that nothing is lost."""
    shown = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} …"


def write_sheet(path: Path, rows: Iterable[Row], reviewers: Sequence[str] = ()) -> None:
    """Write the sheet in the kind of file that the ending of `path` names, with a column for each of `reviewers`.

    What a model answered may hold what no file can; it is written as people can see it.
    """
    decisions = [f"{DECISION}.{name}" for name in reviewers] or [DECISION]
    empty = dict.fromkeys([*decisions, *WRITTEN], "")
    schema = pa.schema([(name, pa.string()) for name in [*SHOWN, *empty]])
    shown = ({name: _seen(text) if isinstance(text, str) else text for name, text in row.items()} for row in rows)
    write_rows(path, ({**row, **empty} for row in shown), schema)


def write_records(path: Path, rows: Iterable[Row], tool: Tool) -> None:
    """Write the sheet as JSON for an annotation tool; for Label Studio its interface stands beside it as .xml."""
    write_json(path, wrapped(rows, tool), tool, INTERFACE)


def write_json(path: Path, records: Iterable[Row], tool: Tool, interface: str) -> None:
    """Write records of `tool`, and beside them the labelling interface where it wants one."""
    if path.suffix.lower() != ".json":
        raise DataError(f"{path}: {tool} reads JSON; give the file a name that ends in .json")
    write_text(path, json.dumps(list(records), ensure_ascii=False, indent=1) + "\n")
    if tool == "label-studio":
        write_text(path.with_suffix(".xml"), interface)


def read_sheet(path: Path) -> list[Decided]:
    """The decisions of a sheet, or of what Argilla or Label Studio exports.

    Raises DataError naming file and line for a decision or an id that is none.
    """
    decided = []
    for line, row in not_empty(path, read_rows(path)):
        with naming(path, line):
            decided.append(_read(line, unwrapped(row)))
    twice = [id for id, count in Counter(row.id for row in decided).items() if count > 1]
    if twice:
        raise DataError(f"{path}: the id {twice[0]} stands in more than one row; keep one of them")
    return decided


def settle(
    decided: Sequence[Decided], path: Path, view: View, samples: Mapping[str, Sample], present: Present
) -> Outcome:
    """What to do with each row: the majority of the decisions counts, and a correction goes before them.

    Raises DataError for an id that the pool never had, or a correction that is no label; LeakError for a corrected
    text that is held out.
    """
    rejected: dict[str, str] = {}
    accepted: list[str] = []
    corrected: list[Sample] = []
    untouched = Counter[str]()
    for row in decided:
        if row.id not in view.entries:
            if row.id not in view.excluded:
                raise DataError(
                    f"{path}:{row.line}: the pool has no sample {row.id}; is this the sheet of another loop?"
                )
            untouched["excluded before"] += 1
            continue
        sample = samples[row.id]
        better = corrected_by(row, sample, path, present)
        said = majority(row.votes)
        if better.id != sample.id:
            if better.id in view.excluded:
                why = view.excluded[better.id]
                raise DataError(f"{path}:{row.line}: the corrected row was excluded before ({why}); reject it instead")
            corrected.append(better)
            rejected[row.id] = f"corrected to {better.id}"
        elif said == "reject":
            rejected[row.id] = f"rejected in {path.name}"
        elif said == "accept":
            accepted.append(row.id)
        else:
            untouched[said] += 1
    return Outcome(rejected, tuple(accepted), corrected, dict(untouched))


def majority(votes: Mapping[str, str]) -> Said:
    """What most reviewers say of a row; a tie decides nothing."""
    counts = Counter(votes.values())
    if counts["accept"] == counts["reject"]:
        return "undecided" if votes else "no decision"
    return "reject" if counts["reject"] > counts["accept"] else "accept"


def _read(line: int, row: Mapping[str, Any]) -> Decided:
    columns = [name for name in row if name == DECISION or name.startswith(f"{DECISION}.")]
    votes = {}
    for name in columns:
        said = str(row[name] or "").strip().casefold()
        if said and said not in DECISIONS:
            raise DataError(f"`{name}` is `{said}`; {nearest(said, DECISIONS)}, or leave it empty")
        if said:
            votes[name.removeprefix(DECISION).removeprefix(".")] = said
    id, text, answer = (str(row.get(name) or "").strip() for name in ("id", "new_text", "new_answer"))
    if not id:
        raise DataError("`id` is missing; every row of a sheet needs the one that it was exported with")
    return Decided(line, id, votes, text, answer)


def corrected_by(row: Decided, sample: Sample, path: Path, present: Present) -> Sample:
    """The sample that a person made of `sample`; `sample` itself where nothing was changed.

    Raises DataError for a correction that is no label, LeakError for one that is held out; both name `path`.
    """
    text, answer = row.new_text or sample.prompt, row.new_answer or sample.completion
    if (text, answer) == (sample.prompt, sample.completion):
        return sample
    if present.leaks(text):
        raise LeakError(f"{path}:{row.line}: the corrected text is held out to measure on; write another one")
    controls, label = dict(sample.controls), sample.label
    if label is not None:
        require_known([LabelledText(row.line, text, answer)], present.material.labels, path)
        controls, label = controls | {"category": answer}, answer
    turns = [turn.model_copy() for turn in sample.messages]
    places = {turn.role: place for place, turn in enumerate(turns)}  # of the last turn of each
    turns[places["user"]] = Message(role="user", content=text)
    turns[places["assistant"]] = Message(role="assistant", content=answer)
    return Sample.make(
        turns,
        task=sample.task,
        label=label,
        origin="feedback",
        source=f"{path.name}:{row.line}",
        round=sample.round,
        parent_id=sample.id,
        controls=controls,
        weight=sample.weight,
    )
