"""Files of rows to samples and back: five formats of a row in five kinds of file.

    messages           {"messages": [{"role": "user", "content": …}, …]}
    sharegpt           {"conversations": [{"from": "human", "value": …}, …]}
    alpaca             {"instruction": …, "input": …, "output": …}
    prompt_completion  {"prompt": …, "completion": …}, or question and answer
    text_label         {"text": …, "label": …}, each under several names

in the kinds of file that `rows` knows. Column names are read without regard to case; a list of turns stands in a CSV
field as JSON. Any format may carry a `label`, alpaca and prompt_completion also a `system`. What is wrong with a file
is a DataError that names the file, the line (in .json and .parquet the row) and the remedy.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa

from .errors import DataError
from .rows import Row, naming, not_empty, read_rows, write_rows
from .samples import SCHEMA, Message, Origin, Role, Sample, Turn, has_sample_columns, is_unicode, read_parquet, to_row
from .text import in_words

Format = Literal["messages", "sharegpt", "alpaca", "prompt_completion", "text_label"]
Columns = dict[str, str]  # what we call a column → what the file calls it

TEXT = ("text", "message", "query", "question", "utterance", "sentence", "content")
LABEL = ("label", "category", "intent", "class", "target")
# what tells a format, in the order in which formats are tried; each column under the names it may have
NEEDED: dict[Format, dict[str, tuple[str, ...]]] = {
    "messages": {"messages": ("messages",)},
    "sharegpt": {"conversations": ("conversations",)},
    "alpaca": {"instruction": ("instruction",), "output": ("output",)},
    "prompt_completion": {"prompt": ("prompt", "question"), "completion": ("completion", "answer")},
    "text_label": {"text": TEXT, "label": LABEL},
}
ALLOWED: dict[Format, tuple[str, ...]] = {
    "messages": ("label",),
    "sharegpt": ("label",),
    "alpaca": ("input", "system", "label"),
    "prompt_completion": ("system", "label"),
    "text_label": (),
}
# formats that are understood without their answer where nothing is learnt from it
UNANSWERED: dict[Format, str] = {"prompt_completion": "prompt", "alpaca": "instruction", "text_label": "text"}
ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
SPEAKERS: dict[str, Role] = ROLES | {"human": "user", "gpt": "assistant", "observation": "tool"}
SPEAKER_OF: dict[Role, str] = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}
SPEECH = pa.list_(pa.struct([pa.field("from", pa.string(), False), pa.field("value", pa.string(), False)]))
TYPES = {field.name: field.type for field in SCHEMA} | {"conversations": SPEECH}


class Layout(NamedTuple):
    """The format of a file's rows, and what the file calls the columns that tell it."""

    format: Format
    columns: Columns


class LabelledText(NamedTuple):
    """One row of seeds or of a suite, and the line it stands in."""

    line: int
    text: str
    label: str


def detect(row: Mapping[str, Any]) -> Format:
    """The format of one row, by its columns. Raises DataError with the columns found and those it would know."""
    return layout_of(row).format


def layout_of(row: Mapping[str, Any], formats: Sequence[Format] = get_args(Format), *, answered: bool = True) -> Layout:
    """How `row`, of which only the columns count, is read; unless `answered`, a prompt or text alone will do.

    Raises DataError with the columns found and those it would know.
    """
    found = _folded(tuple(row))
    wanted = [(format, list(NEEDED[format])) for format in formats]
    if not answered:
        wanted += [(format, [asked]) for format, asked in UNANSWERED.items() if format in formats]
    for format, needed in wanted:
        # backwards, so that of several columns that would do the name listed first wins
        names = [(ours, NEEDED[format][ours]) for ours in needed]
        columns = {ours: found[name] for ours, theirs in names for name in reversed(theirs) if name in found}
        if len(columns) == len(names):
            return Layout(format, columns)
    columns_of = dict(wanted)  # the least that a format needs
    known = "; or ".join(" with ".join(" | ".join(NEEDED[f][ours]) for ours in columns_of[f]) for f in formats)
    listed = ", ".join(f"`{name}`" for name in row) or "none"
    raise DataError(f"the columns ({listed}) are not recognised; rename them to {known}")


def read_row(row: Row, layout: Layout, *, filled: bool = True) -> tuple[list[Message], str | None]:
    """The messages and the label of `row`; see `read_turns`."""
    turns, label = read_turns(row, layout, filled=filled)
    return [Message(role=role, content=content) for role, content in turns], label


def read_turns(row: Row, layout: Layout, *, filled: bool = True) -> tuple[list[Turn], str | None]:
    """Who says what in `row`, and its label. Raises DataError for a value that is missing or no text.

    A `text` must say something unless `filled` is false.
    """
    format, columns = layout
    found = other_columns(row, format)
    label = given = system = None
    if found:
        label, given, system = (_optional(row, found.get(name)) for name in ("label", "input", "system"))
    if format == "messages":
        return _read_turns(row, columns["messages"], "role", "content", ROLES), label
    if format == "sharegpt":
        return _read_turns(row, columns["conversations"], "from", "value", SPEAKERS), label
    if format == "text_label":
        asked = (_filled if filled else _text)(row, columns["text"])
        answered = label = _filled(row, columns["label"]).strip() if "label" in columns else None
    else:
        question, answer = NEEDED[format]
        asked, answered = _text(row, columns[question]), _text(row, columns[answer]) if answer in columns else None
    asked = f"{asked}\n\n{given}" if given else asked
    turns: list[Turn] = [("system", system)] if system else []
    turns.append(("user", asked))
    if answered is not None:
        turns.append(("assistant", answered))
    return turns, label


def other_columns(row: Row, format: Format) -> Columns:
    """The columns of `row` that the format may have: which they are may differ, as JSON leaves out what is empty."""
    return _others(tuple(row), format).copy()


def read_samples(path: Path, *, task: str, system: str | None = None, origin: Origin = "import") -> Iterator[Sample]:
    """Stream samples from a file, in the format of its first row; duplicates stay.

    `system` opens each conversation that has no system turn of its own. A parquet file that has exactly
    the columns of a sample gives its samples as they stand.
    """
    if path.suffix.lower() == ".parquet" and has_sample_columns(path):
        yield from not_empty(path, read_parquet(path))
        return
    layout: Layout | None = None
    for line, row in not_empty(path, read_rows(path)):
        layout = layout or _first_layout(path, line, row)
        with naming(path, line):
            turns, label = read_row(row, layout)
            if system and all(turn.role != "system" for turn in turns):
                turns.insert(0, Message(role="system", content=system))
            sample = Sample.make(turns, task=task, label=label, origin=origin, source=f"{path.name}:{line}")
        yield sample


def read_labelled(path: Path) -> list[LabelledText]:
    """The texts and labels of a file of seeds or of a suite; every row must have both."""
    columns: Columns | None = None
    rows = []
    for line, row in not_empty(path, read_rows(path)):
        columns = columns or _first_layout(path, line, row, ["text_label"]).columns
        with naming(path, line):
            rows.append(LabelledText(line, _filled(row, columns["text"]), _filled(row, columns["label"]).strip()))
    return rows


def write_samples(path: Path, samples: Iterable[Sample], format: Format, also: Sequence[str] = ()) -> int:
    """Write `samples` for other tools, whole or not at all, and return how many they were.

    The ending of `path` chooses the kind of file; `also` names further columns of a sample, such as
    `reject_reason`. `read_samples` gives the same turns and label back; text_label leaves the system turn out.
    Raises DataError for a sample that the format or the kind of file cannot hold.
    """
    count = 0

    def rows() -> Iterator[Row]:
        nonlocal count
        for count, sample in enumerate(samples, 1):  # noqa: B007 - counted for the caller
            kept = to_row(sample) if also else {}
            yield _write_row(sample, format) | {name: kept[name] for name in also}

    columns = dict.fromkeys([*NEEDED[format], *ALLOWED[format], *also])
    write_rows(path, rows(), pa.schema([(column, TYPES.get(column, pa.string())) for column in columns]))
    return count


def _first_layout(path: Path, line: int, row: Row, formats: Sequence[Format] = get_args(Format)) -> Layout:
    with naming(path, line if path.suffix.lower() in (".jsonl", ".json") else None):  # a table has its names in no row
        return layout_of(row, formats)


# a file has the same columns in row after row
@lru_cache(256)
def _others(names: tuple[str, ...], format: Format) -> Columns:
    known = _folded(names)
    return {name: known[name] for name in ALLOWED[format] if name in known}


@lru_cache(256)
def _folded(names: tuple[str, ...]) -> Columns:
    return {name.strip().casefold(): name for name in reversed(names)}


def _read_turns(row: Row, column: str, who: str, what: str, roles: Mapping[str, Role]) -> list[Turn]:
    turns = row.get(column)
    if isinstance(turns, str):  # a CSV field
        with suppress(ValueError, RecursionError):
            turns = json.loads(turns)
    if not isinstance(turns, list) or not turns:
        raise DataError(
            f"`{column}` must be a list of turns with `{who}` and `{what}`, found {in_words(turns)}; mend it"
        )
    read: list[Turn] = []
    for number, turn in enumerate(turns, 1):
        role = roles.get(str(turn.get(who)).lower()) if isinstance(turn, dict) else None
        if role is None:
            raise DataError(f"turn {number} of `{column}` must have a `{who}`, one of {', '.join(roles)}; mend it")
        read.append((role, _text(turn, what)))
    return read


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if isinstance(value, str) and value.isascii():  # the common case
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # as a CSV would give it: the answer 4, the label 11
    if value is None:
        raise DataError(f"`{column}` is missing; fill it in or remove the row")
    if not isinstance(value, str):
        raise DataError(f"`{column}` must be text, found {in_words(value)}; mend it or remove the row")
    if not is_unicode(value):
        raise DataError(f"`{column}` holds half a character (a lone surrogate); remove it")
    return value


def _filled(row: Row, column: str) -> str:
    text = _text(row, column)
    if not text.strip():
        raise DataError(f"`{column}` is empty; fill it in or remove the row")
    return text


def _optional(row: Row, column: str | None) -> str | None:
    return None if column is None or row.get(column) in (None, "") else _text(row, column)


def _write_row(sample: Sample, format: Format) -> Row:
    turns, label = sample.messages, sample.label
    if format == "messages":
        return {"messages": [{"role": turn.role, "content": turn.content} for turn in turns], "label": label}
    if format == "sharegpt":
        said = [{"from": SPEAKER_OF[turn.role], "value": turn.content} for turn in turns]
        return {"conversations": said, "label": label}
    roles = [turn.role for turn in turns]
    if roles not in (["user", "assistant"], ["system", "user", "assistant"]):
        held = f"{format} holds one question and its answer"
        raise DataError(f"sample {sample.id} has the turns {', '.join(roles)}; {held}: write messages or sharegpt")
    if format == "text_label":
        if label is None or label != sample.completion or label != label.strip() or not sample.prompt.strip():
            raise DataError(f"sample {sample.id} is no text answered by its label; write messages instead")
        return {"text": sample.prompt, "label": label}
    question, answer = NEEDED[format]
    row = {question: sample.prompt, answer: sample.completion, "label": label}
    if format == "alpaca":
        row["input"] = ""  # other tools expect the column
    return row | {"system": turns[0].content if turns[0].role == "system" else None}
