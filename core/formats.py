"""Files of rows to samples and back: five formats of a row in five kinds of file.

    messages           {"messages": [{"role": "user", "content": …}, …]}
    sharegpt           {"conversations": [{"from": "human", "value": …}, …]}
    alpaca             {"instruction": …, "input": …, "output": …}
    prompt_completion  {"prompt": …, "completion": …}, or question and answer
    text_label         {"text": …, "label": …}, each under several names

in .jsonl, .json (one array), .csv, .tsv and .parquet. Column names are read without regard to case; a list of
turns stands in a CSV field as JSON. Any format may carry a `label`, alpaca and prompt_completion also a `system`.
What is wrong with a file is a DataError that names the file, the line (in .json and .parquet the row) and the remedy.
"""

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import pyarrow as pa

from .digests import canonical_json
from .errors import DataError
from .samples import (
    SCHEMA,
    Message,
    Origin,
    Role,
    Sample,
    has_sample_columns,
    is_unicode,
    read_parquet,
    read_table,
    to_row,
    write_table,
)
from .workspace import writing

Format = Literal["messages", "sharegpt", "alpaca", "prompt_completion", "text_label"]
Row = dict[str, Any]
Rows = Iterator[tuple[int, Row]]
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
ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
SPEAKERS: dict[str, Role] = ROLES | {"human": "user", "gpt": "assistant", "observation": "tool"}
SPEAKER_OF: dict[Role, str] = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}
SPEECH = pa.list_(pa.struct([pa.field("from", pa.string(), False), pa.field("value", pa.string(), False)]))
TYPES = {field.name: field.type for field in SCHEMA} | {"conversations": SPEECH}

T = TypeVar("T")


class LabelledText(NamedTuple):
    """One row of seeds or of a suite, and the line it stands in."""

    line: int
    text: str
    label: str


def read_rows(path: Path) -> Rows:
    """Stream the rows of a file, each with its line (.jsonl, .csv, .tsv) or row (.json, .parquet), from 1.

    Blank lines are skipped. Only .json is read whole.
    """
    return _readable(path, _kind_of(path)[0](path))


def detect(row: Mapping[str, Any]) -> Format:
    """The format of one row, by its columns. Raises DataError with the columns found and those it would know."""
    return _layout(row)[0]


def read_samples(path: Path, *, task: str, system: str | None = None, origin: Origin = "import") -> Iterator[Sample]:
    """Stream samples from a file, in the format of its first row; duplicates stay.

    `system` opens each conversation that has no system turn of its own. A parquet file that has exactly
    the columns of a sample gives its samples as they stand.
    """
    if path.suffix.lower() == ".parquet" and has_sample_columns(path):
        yield from _some(path, read_parquet(path))
        return
    layout: tuple[Format, Columns] | None = None
    for line, row in _some(path, read_rows(path)):
        layout = layout or _first_layout(path, line, row)
        with _at(path, line):
            turns, label = _read_row(row, *layout)
            if system and all(turn.role != "system" for turn in turns):
                turns.insert(0, Message(role="system", content=system))
            sample = Sample.make(turns, task=task, label=label, origin=origin, source=f"{path.name}:{line}")
        yield sample


def read_labelled(path: Path) -> list[LabelledText]:
    """The texts and labels of a file of seeds or of a suite; every row must have both."""
    columns: Columns | None = None
    rows = []
    for line, row in _some(path, read_rows(path)):
        columns = columns or _first_layout(path, line, row, ["text_label"])[1]
        with _at(path, line):
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

    write = _kind_of(path)[1]
    with writing(path) as temporary:
        write(temporary, rows(), list(dict.fromkeys([*NEEDED[format], *ALLOWED[format], *also])))
    return count


# rows and samples


def _first_layout(
    path: Path, line: int, row: Row, formats: Sequence[Format] = get_args(Format)
) -> tuple[Format, Columns]:
    with _at(path, line if path.suffix.lower() in (".jsonl", ".json") else None):  # a table has its names in no row
        return _layout(row, formats)


def _layout(row: Mapping[str, Any], formats: Sequence[Format] = get_args(Format)) -> tuple[Format, Columns]:
    found = _folded(row)
    for format in formats:
        # backwards, so that of several columns that would do the name listed first wins
        names = NEEDED[format].items()
        columns = {ours: found[name] for ours, theirs in names for name in reversed(theirs) if name in found}
        if len(columns) == len(names):
            return format, columns
    known = "; or ".join(" with ".join(" | ".join(names) for names in NEEDED[f].values()) for f in formats)
    listed = ", ".join(f"`{name}`" for name in row) or "none"
    raise DataError(f"the columns ({listed}) are not recognised; rename them to {known}")


def _folded(row: Mapping[str, Any]) -> Columns:
    return {name.strip().casefold(): name for name in reversed(list(row))}


def _read_row(row: Row, format: Format, columns: Columns) -> tuple[list[Message], str | None]:
    # which of these a row has may differ from row to row: JSON leaves out what is empty
    names = _folded(row)
    found = {name: names[name] for name in ALLOWED[format] if name in names}
    label, given, system = (_optional(row, found.get(name)) for name in ("label", "input", "system"))
    if format == "messages":
        return _read_turns(row, columns["messages"], "role", "content", ROLES), label
    if format == "sharegpt":
        return _read_turns(row, columns["conversations"], "from", "value", SPEAKERS), label
    if format == "text_label":
        asked = _filled(row, columns["text"])
        answered = label = _filled(row, columns["label"]).strip()
    else:
        question, answer = NEEDED[format]
        asked, answered = _text(row, columns[question]), _text(row, columns[answer])
    asked = f"{asked}\n\n{given}" if given else asked
    opening = [Message(role="system", content=system)] if system else []
    return [*opening, Message(role="user", content=asked), Message(role="assistant", content=answered)], label


def _read_turns(row: Row, column: str, who: str, what: str, roles: Mapping[str, Role]) -> list[Message]:
    turns = row.get(column)
    if isinstance(turns, str):  # a CSV field
        with suppress(ValueError, RecursionError):
            turns = json.loads(turns)
    if not isinstance(turns, list) or not turns:
        raise DataError(f"`{column}` must be a list of turns with `{who}` and `{what}`, found {_a(turns)}; mend it")
    messages = []
    for number, turn in enumerate(turns, 1):
        role = roles.get(str(turn.get(who)).lower()) if isinstance(turn, dict) else None
        if role is None:
            raise DataError(f"turn {number} of `{column}` must have a `{who}`, one of {', '.join(roles)}; mend it")
        messages.append(Message(role=role, content=_text(turn, what)))
    return messages


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # as a CSV would give it: the answer 4, the label 11
    if value is None:
        raise DataError(f"`{column}` is missing; fill it in or remove the row")
    if not isinstance(value, str):
        raise DataError(f"`{column}` must be text, found {_a(value)}; mend it or remove the row")
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


# kinds of file


def _kind_of(path: Path) -> "tuple[Reader, Writer]":
    if path.suffix.lower() not in KINDS:
        raise DataError(f"{path}: the name must end in {', '.join(KINDS)}; rename or convert the file")
    return KINDS[path.suffix.lower()]


@contextmanager
def _at(path: Path, line: int | None) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}" if line is None else f"{path}:{line}: {error}") from None


def _some(path: Path, rows: Iterator[T]) -> Iterator[T]:
    for first in rows:
        return chain([first], rows)
    raise DataError(f"{path}: the file has no rows; add some")


def _readable(path: Path, rows: Iterator[tuple[int, Any]]) -> Rows:
    try:
        for number, row in rows:
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: expected a row {{…: …}}, found {_a(row)}; mend it or remove it")
            yield number, row
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check its name") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check what it is and its rights") from None


def _a(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # split at b"\n" only: str.splitlines would also split at U+2028 and others that stand inside JSON text
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode()
            except UnicodeDecodeError:
                raise DataError(f"{path}:{number}: this line is not UTF-8; save the file as UTF-8") from None
            if "\0" in text:
                raise DataError(f"{path}:{number}: this line has a NUL byte; remove it, or save the file as UTF-8")
            yield number, text


def _read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(path):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: this line is not JSON ({error}); mend it or remove it") from None
            yield number, row


def _read_json(path: Path) -> Iterator[tuple[int, Any]]:
    text = "".join(line for _, line in _lines(path))
    try:
        rows = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        hint = "name it .jsonl if each line is a row" if error.msg == "Extra data" else "mend it"
        raise DataError(f"{path}:{error.lineno}: this is not JSON ({error.msg}); {hint}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: this is not JSON that can be read ({error}); mend it") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected one list of rows, found {_a(rows)}; put [ ] around the rows")
    yield from enumerate(rows, 1)


def _read_delimited(path: Path, delimiter: str) -> Rows:
    # strict, because a quote that never closes would otherwise swallow the rest of the file as one field
    reader = csv.reader((text for _, text in _lines(path)), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1  # where the row starts; a quoted field may run over several lines
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = "a quote opens and never closes" if "end of data" in str(error) else str(error)
            raise DataError(f"{path}:{line}: the row that starts here is not valid CSV ({why}); mend it") from None
        if len(fields) < 2 and not "".join(fields).strip():
            continue
        if not header:
            header = [name.strip() for name in fields]
            if len(set(header)) < len(header):
                raise DataError(f"{path}:{line}: a column name stands twice in the header; rename one of them")
        elif len(fields) != len(header):
            counts = f"this row has {len(fields)} fields, the header {len(header)}"
            raise DataError(f"{path}:{line}: {counts}; put a field that holds {delimiter!r} in quotes")
        else:
            yield line, dict(zip(header, fields, strict=True))


def _read_parquet(path: Path) -> Rows:
    return enumerate(read_table(path), 1)


def _json_row(row: Row) -> str:
    return json.dumps({name: value for name, value in row.items() if value is not None}, ensure_ascii=False)


def _write_jsonl(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_json_row(row) + "\n" for row in rows)


def _write_json(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("[")
        stream.writelines((",\n" if number else "\n") + _json_row(row) for number, row in enumerate(rows))
        stream.write("\n]\n")


def _write_delimited(path: Path, rows: Iterable[Row], columns: Sequence[str], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows([_field(row.get(column)) for column in columns] for row in rows)


def _field(value: Any) -> str:
    field = "" if value is None else value if isinstance(value, str) else canonical_json(value)
    if "\0" in field or len(field) > csv.field_size_limit():
        raise DataError("a text has a NUL character or is too long for a field of CSV; write a .jsonl file instead")
    return field


def _write_parquet(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    write_table(path, pa.schema([(column, TYPES.get(column, pa.string())) for column in columns]), rows)


Reader = Callable[[Path], Iterator[tuple[int, Any]]]
Writer = Callable[[Path, Iterable[Row], Sequence[str]], None]
KINDS: dict[str, tuple[Reader, Writer]] = {
    ".jsonl": (_read_jsonl, _write_jsonl),
    ".json": (_read_json, _write_json),
    ".csv": (partial(_read_delimited, delimiter=","), partial(_write_delimited, delimiter=",")),
    ".tsv": (partial(_read_delimited, delimiter="\t"), partial(_write_delimited, delimiter="\t")),
    ".parquet": (_read_parquet, _write_parquet),
}
