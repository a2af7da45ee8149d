"""The file of a ledger: a line for each change, only ever added to."""

from typing import Literal

from pydantic import Field

from ..settings import Setting
from .entries import Entry

Action = Literal["add", "replace", "retire", "restore", "learnt", "round"]


class Line(Setting):
    """One change of a ledger: when, what, who and why."""

    at: str = Field(description="time in UTC, ISO 8601")
    action: Action = Field(description="what was done; `learnt`: a champion got these right; `round`: one has ended")
    id: str = Field("", description="the entry that it is about")
    entry: Entry | None = Field(None, description="for add and replace: the entry as it is from now on")
    ids: tuple[str, ...] = Field((), description="for learnt: the entries")
    who: str = Field("", description="who did it")
    why: str = Field("", description="the reason, in a few words")
    round: str = Field("", description="for learnt and round: the id of the round")
    lines: int | None = Field(None, ge=0, description="for round: the lines that there were when it was opened")
