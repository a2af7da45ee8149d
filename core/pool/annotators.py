"""The review sheet in the JSON of two annotation tools, and their exports as rows of a sheet.

    argilla        what `dataset.records.from_json` of Argilla 2 reads and `to_json` writes
    label-studio   what Label Studio imports as tasks and exports as JSON, with the labelling interface that it needs

Questions have the names of the sheet's columns: `decision`, `new_text`, `new_answer`, `note`; those of texts to label
are `label` and `note`. What a classifier thinks of such a text goes along: both tools know it as what is filled in
already, Argilla under `suggestions`, Label Studio under `predictions`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

from ..errors import DataError
from ..rows import Row

Tool = Literal["argilla", "label-studio"]
DECISION = "decision"
LABEL = "label"
MODEL = "wheelwork nearest mean"  # who suggests
DECISIONS = ("accept", "reject")
WRITTEN = ("new_text", "new_answer", "note")
QUESTIONS = (DECISION, LABEL, *WRITTEN)
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


def label_interface(labels: Iterable[str]) -> str:
    """What a Label Studio project is set up with for texts to label."""
    choices = "".join(f"<Choice value={quoteattr(label)}/>" for label in labels)
    return f"""<View>
  <Text name="text" value="$text"/>
  <Choices name="{LABEL}" toName="text" choice="single">{choices}</Choices>
  <TextArea name="note" toName="text" maxSubmissions="1" placeholder="a note"/>
</View>
"""


def wrapped_texts(rows: Iterable[Row], tool: Tool) -> Iterator[Row]:
    """Texts to label as records of `tool`, with the label that is likeliest filled in."""
    for row in rows:
        label, score = row["suggested"], float(row["probability"])
        told = {name: value for name, value in row.items() if name not in ("id", "text", LABEL)}
        if tool == "label-studio":
            choice = {"from_name": LABEL, "to_name": "text", "type": "choices", "value": {"choices": [label]}}
            yield {
                "data": {"id": row["id"], "text": row["text"], **told},
                "predictions": [{"model_version": MODEL, "score": score, "result": [choice]}],
            }
        else:
            yield {
                "id": row["id"],
                "fields": {"text": row["text"]},
                "metadata": told,
                "suggestions": {LABEL: {"value": label, "score": score, "agent": MODEL}},
                "responses": {},
            }


def cells_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What people were shown of a row: of a record of either tool, or of a sheet."""
    for name in ("data", "fields"):
        if isinstance(row.get(name), dict):
            cells: dict[str, Any] = row[name]
            return cells
    return row


def answers_of(row: Mapping[str, Any]) -> list[tuple[str, str, str]] | None:
    """Reviewer, question and answer of a record of either tool; None for a row of a sheet.

    Raises DataError for a record that is damaged.
    """
    try:
        if isinstance(row.get("data"), dict):
            return list(_label_studio(row))
        return list(_argilla(row)) if isinstance(row.get("fields"), dict) else None
    except (AttributeError, IndexError, KeyError, TypeError):
        raise DataError("this record is none that Argilla or Label Studio exports; export it again") from None


def unwrapped(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of a sheet from a record of either tool; a row of a sheet as it is.

    Raises DataError for a record that is damaged, or whose corrections by several people differ.
    """
    if (answers := answers_of(row)) is None:
        return row
    id = row["data"].get("id") if isinstance(row.get("data"), dict) else row.get("id")
    told: dict[str, Any] = {"id": id}
    for reviewer, question, said in answers:
        name = f"{DECISION}.{reviewer}" if question == DECISION else question
        if question in ("new_text", "new_answer") and told.get(name, said) != said:
            raise DataError(f"`{name}` was given twice and not the same; agree on one")
        told[name] = said
    return told


def _argilla(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Reviewer, question and answer of each response."""
    for question in QUESTIONS:
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
            if question in QUESTIONS:
                said = value["choices"] if question in (DECISION, LABEL) else value["text"]
                yield str(reviewer), question, (said if isinstance(said, str) else said[0]).strip()
