"""A sample that a filter changed, put back into the columns of the row that it came from."""

import json

from ...errors import DataError
from ...formats import Layout, other_columns
from ...rows import Row
from ...samples import Sample, to_row

TURNS = {"messages": ("messages", "content"), "sharegpt": ("conversations", "value")}
SEAM = "\n\n"  # between an instruction and its input


def put_back(row: Row, layout: Layout | None, before: Sample, after: Sample) -> Row:
    """`row`, which was read as `before`, with the texts of `after`; every other column stays as it is.

    Raises DataError for turns that were taken away or added where the format holds just one question and its answer.
    """
    if layout is None:
        return to_row(after)
    if layout.format in TURNS:
        column, content = layout.columns[TURNS[layout.format][0]], TURNS[layout.format][1]
        return row | {column: _turns(row[column], content, after)}
    if [turn.role for turn in before.messages] != [turn.role for turn in after.messages]:
        raise DataError(f"{before.source}: a filter changed the number of turns, which this format cannot hold")
    found = other_columns(row, layout.format)
    names = list(layout.columns.values())  # of the question and, where it is read, of the answer
    if before.messages[0].role == "system":
        names.insert(0, found["system"])
    texts = {
        name: new.content
        for name, old, new in zip(names, before.messages, after.messages, strict=True)
        if new.content != old.content
    }
    if "input" in found and row[found["input"]] and layout.columns["instruction"] in texts:
        texts |= _parted(row, layout.columns["instruction"], found["input"], texts[layout.columns["instruction"]])
    return row | texts


def _turns(said: object, content: str, after: Sample) -> object:
    """The list of turns, or in CSV its JSON, with the new contents; what else a turn holds stays."""
    turns = json.loads(said) if isinstance(said, str) else said
    assert isinstance(turns, list)  # it was read as such
    if len(turns) != len(after.messages):
        raise DataError(f"{after.source}: a filter changed the number of turns, which this format cannot hold")
    new = [turn | {content: message.content} for turn, message in zip(turns, after.messages, strict=True)]
    return json.dumps(new, ensure_ascii=False) if isinstance(said, str) else new


def _parted(row: Row, instruction: str, given: str, asked: str) -> Row:
    """The two columns that were read as one text; where the seam was changed too, all of it is the instruction."""
    before = str(row[instruction]).count(SEAM)
    if asked.count(SEAM) != before + str(row[given]).count(SEAM) + 1:
        return {instruction: asked, given: ""}
    parts = asked.split(SEAM)
    return {instruction: SEAM.join(parts[: before + 1]), given: SEAM.join(parts[before + 1 :])}
