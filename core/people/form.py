"""The rows of a desk as a form: a pydantic model with a few fields for each row, from which a page is drawn."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, create_model

from .desk import Asked, Decision

B = TypeVar("B", bound=BaseModel)

FORM = "form"
AS_IT_IS = "(as it is)"
SHOWN = 600  # characters of a text that stand on the form; the sheet has all of it
REST = "go_on_with_the_rest"


def form_of(asked: Asked, left: tuple[str, ...], base: type[B]) -> type[B]:
    """A form that is a `base`, for the rows of `asked` that are `left`.

    Nothing is required, so that it can be sent half done. A row's text is the title of its decision, and its answer
    the description. A label is corrected by choosing another one, any other answer by writing one.
    """
    fields: dict[str, Any] = {}
    for number, row in enumerate(asked.rows, 1):
        if row["id"] not in left:
            continue
        name = f"row_{number:02}"
        shown = f"{row['before']}\n{row['text']}" if row["before"] else row["text"]
        fields[name] = (
            Literal["undecided", "accept", "reject"],
            Field("undecided", title=f"{number}. {_cut(shown)}", description=f"→ {_cut(row['answer'])}"),
        )
        fields[f"{name}_answer"] = _answer(number, asked.labels)
        fields[f"{name}_text"] = (str, Field("", title=f"{number}. a better message; empty: as it is"))
    title = "Train though rows have no decision: they stay as they are"
    fields[REST] = (bool, Field(False, title=title))
    made: type[B] = create_model("Review", __base__=base, **fields)
    return made


def decisions_in(asked: Asked, form: BaseModel, by: str = FORM) -> tuple[list[Decision], bool]:
    """What a form says of the rows, and whether the round may go on without the rest."""
    said = form.model_dump()
    found = []
    for number, row in enumerate(asked.rows, 1):
        name = f"row_{number:02}"
        answer = str(said.get(f"{name}_answer", "")).strip()
        decision = Decision(
            id=row["id"],
            by=by,
            line=number,
            votes={FORM: said[name]} if said.get(name) in ("accept", "reject") else {},
            new_text=str(said.get(f"{name}_text", "")).strip(),
            new_answer="" if answer == AS_IT_IS else answer,
        )
        found += [decision] if decision.says_something else []
    return found, bool(said.get(REST))


def _answer(number: int, labels: tuple[str, ...]) -> tuple[Any, Any]:
    if labels:
        return Literal[(AS_IT_IS, *labels)], Field(AS_IT_IS, title=f"{number}. a better label")
    return str, Field("", title=f"{number}. a better answer; empty: as it is")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} … (the sheet has all of it)"
