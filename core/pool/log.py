"""The log of a pool: a line for each change, only ever added to. The last whole line names the present version."""

from typing import Literal

from pydantic import Field

from ..settings import Setting

Action = Literal["round", "exclude", "review", "undo"]


class Line(Setting):
    """One change of a pool: when, what, and from which version to which."""

    at: str = Field(description="time in UTC, ISO 8601")
    action: Action = Field(description="what was done")
    why: str = Field("", description="the reason in a few words")
    round: str = Field("", description="for a round: its id")
    drawn: str | None = Field(None, description="for a round: the version that it replayed from")
    before: str | None = Field(None, description="the version before; None: the empty pool")
    version: str | None = Field(None, description="the version after; the same where nothing changed")
    accepted: int = Field(description="samples that a round may be trained on, afterwards")
    marked: int = Field(description="samples of rounds that were not promoted, afterwards")
    excluded: int = Field(description="ids that stay out, afterwards")
