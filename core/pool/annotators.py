"""The review sheet in the JSON of two annotation tools, and their exports as rows of a sheet.

    argilla        what `dataset.records.from_json` of Argilla 2 reads and `to_json` writes
    label-studio   what Label Studio imports as tasks and exports as JSON, with the labelling interface that it needs

Questions have the names of the sheet's columns: `decision`, `new_text`, `new_answer`, `note`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from ..errors import DataError
from ..rows import Row

Tool = Literal["argilla", "label-studio"]
DECISION = "decision"
DECISIONS = ("accept", "reject")
WRITTEN = ("new_text", "new_answer", "note")
FIELDS = ("before", "text", "answer")

# what a Label Studio project is set up with, so that tasks are shown and answers come back under our names
INTERFACE = f"""<View>
  <Text name="before" value="$before"/>
  <Header value="Message"/>
  <Text name="text" value="$text"/>
  <Header value="Answer"/>
  <Text name="answer" value="$answer"/>
  <Choices name="{DECISION}" toName="text" choice="single" showInline="true">
    {"".join(f'<Choice value="{choice}"/>' for choice in DECISIONS)}
  </Choices>
  <TextArea name="new_text" toName="text" maxSubmissions="1" placeholder="a better message"/>
  <TextArea name="new_answer" toName="text" maxSubmissions="1" placeholder="a better answer"/>
  <TextArea name="note" toName="text" maxSubmissions="1" placeholder="a note"/>
</View>
"""


def wrapped(rows: Iterable[Row], tool: Tool) -> Iterator[Row]:
    """Rows of a sheet as records of `tool`."""
    for row in rows:
        if tool == "label-studio":
            yield {"data": row}
        else:
            told = {name: value for name, value in row.items() if name not in (*FIELDS, "id") and value}
            fields = {name: row[name] for name in FIELDS}
            yield {"id": row["id"], "fields": fields, "metadata": told, "suggestions": {}, "responses": {}}


def unwrapped(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of a sheet from a record of either tool; a row of a sheet as it is.

    Raises DataError for a record that is damaged, or whose corrections by several people differ.
    """
    try:
        if isinstance(row.get("data"), dict):
            answers = list(_label_studio(row))
            id = row["data"].get("id")
        elif isinstance(row.get("fields"), dict):
            answers = list(_argilla(row))
            id = row.get("id")
        else:
            return row
    except (AttributeError, IndexError, KeyError, TypeError):
        raise DataError("this record is none that Argilla or Label Studio exports; export it again") from None
    told: dict[str, Any] = {"id": id}
    for reviewer, question, said in answers:
        name = f"{DECISION}.{reviewer}" if question == DECISION else question
        if question in ("new_text", "new_answer") and told.get(name, said) != said:
            raise DataError(f"`{name}` was given twice and not the same; agree on one")
        told[name] = said
    return told


def _argilla(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Reviewer, question and answer of each response."""
    for question in (DECISION, *WRITTEN):
        for response in (record.get("responses") or {}).get(question, ()):
            if response["value"]:
                yield str(response.get("user_id") or "somebody"), question, str(response["value"]).strip()


def _label_studio(task: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for annotation in task.get("annotations") or ():
        if annotation.get("was_cancelled"):
            continue
        by = annotation.get("completed_by", "somebody")
        reviewer = by.get("email") or by.get("id") if isinstance(by, dict) else by
        for result in annotation["result"]:
            question, value = result["from_name"], result["value"]
            if question in (DECISION, *WRITTEN):
                said = value["choices"] if question == DECISION else value["text"]
                yield str(reviewer), question, (said if isinstance(said, str) else said[0]).strip()
