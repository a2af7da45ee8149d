"""Who changed what of the serving: keys made, replaced and ended, canaries overridden; one line each, only added to."""

import time
from pathlib import Path

from pydantic import Field

from ...lines import add_lines, read_lines
from ...settings import Setting
from ...workspace import locked, user_name

FILE = "audit.jsonl"


class Act(Setting):
    """One thing that somebody did."""

    at: float = Field(description="seconds since 1970")
    who: str = Field(description="a user of the machine, or the name of an API key")
    what: str = Field(description="such as `key added`")
    subject: str = Field(description="of what: a key's name, a loop")
    details: dict[str, str] = Field({}, description="figures and reasons")


def note(home: Path, what: str, subject: str, *, who: str | None = None, **details: str) -> Act:
    """Write down an act in the log of the state folder `home`; it is on the disk when this returns."""
    act = Act(at=time.time(), who=who or user_name(), what=what, subject=subject, details=details)
    path = home / FILE
    with locked(path.with_suffix(".lock"), "another command is writing to the audit log; try again", patience=10):
        add_lines(path, [act])
    return act


def acts(home: Path) -> list[Act]:
    """Everything in the log, oldest first. Raises DataError for a damaged line."""
    return read_lines(home / FILE, Act, "the audit log")
