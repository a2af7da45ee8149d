"""Answers that broke off or came apart: JSON, Markdown, code and brackets."""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from ...samples import Sample
from ...settings import Setting
from ..context import FunnelContext, Judgements
from ..parts import ANSWER, Part
from .markup import code_fault, fault, json_fault, markdown_fault

Format = Literal["any", "json", "markdown", "code"]

FAULTS: dict[Format, Callable[[str], str | None]] = {
    "any": fault,
    "json": json_fault,
    "markdown": markdown_fault,
    "code": code_fault,
}


class Structure(Setting):
    """Drop an answer whose JSON, Markdown, code, brackets or quotation marks are not whole.

    `any` takes a text that begins as JSON for JSON, and every other for Markdown whose prose pairs its brackets.
    """

    kind: Literal["structure"] = "structure"
    format: Format = Field("any", description="what an answer is: json, markdown, code, or any of them")
    judges: tuple[Part, ...] = Field(ANSWER, min_length=1, description="which messages are judged")

    def __call__(self, batch: Sequence[Sample], context: FunnelContext) -> Judgements:
        return Judgements.by_text(batch, self.judges, FAULTS[self.format])
