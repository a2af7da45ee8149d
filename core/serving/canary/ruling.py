"""Widen, hold or roll back: what the evidence of a stage says, with the reason.

Rolled back as soon as harm of any kind is shown. Widened when the stage has had its requests and minutes, and of each
kind that is known a harm beyond its margin is excluded. A stage in which that never happens ends when patience does,
and then it is said that nothing was proven. A kind without outcomes is unknown, never fine: it neither widens nor
holds, and the reason names it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from .evidence import Evidence, Finding
from .settings import CanarySettings

Act = Literal["widen", "hold", "roll_back"]


class Ruling(NamedTuple):
    """What is to be done, why, and the findings that it rests on."""

    act: Act
    reason: str
    findings: tuple[Finding, ...]
    unproven: bool = False
    """Whether patience is at its end."""

    @property
    def figures(self) -> dict[str, dict[str, float | None]]:
        """Kind → its figures, of kinds with outcomes."""
        return {one.kind: one.figures for one in self.findings if any(one.outcomes)}


def rule(evidence: Evidence, limits: CanarySettings, seconds: float) -> Ruling:
    """The ruling on a stage that has lasted for so many seconds."""
    findings = evidence.findings(limits)
    harmful = [one for one in findings if one.state == "harm"]
    if harmful:
        return Ruling("roll_back", "; ".join(one.sentence for one in harmful), findings)
    waiting = _waits(evidence, limits, seconds)
    compared = [one for one in findings if one.kind != "collapse"]
    open_ = [one for one in compared if one.state == "open"]
    known = [one for one in compared if one.state != "unknown"]
    unknown = _unknown(compared)
    if not waiting and known and not open_:
        shown = " and ".join(one.kind for one in known)
        return Ruling("widen", f"harm beyond the margin is excluded in {shown}{unknown}", findings)
    hours = seconds / 3600
    if hours < limits.patience:
        why = waiting or [f"{one.kind} may still be worse than the margin allows" for one in open_]
        return Ruling("hold", ", ".join(why or ["nothing is known yet"]) + unknown, findings)
    return _unproven(findings, open_, limits, hours, unknown)


def _unproven(
    findings: tuple[Finding, ...], open_: Sequence[Finding], limits: CanarySettings, hours: float, unknown: str
) -> Ruling:
    """What is done when patience is at its end."""
    doubts = [one for one in findings if one.harm >= limits.doubt]
    left = ", ".join(one.kind for one in open_) or "anything"
    so_far = f"after {hours:.0f} h harm beyond the margin is neither shown nor excluded in {left}{unknown}"
    if doubts:
        named = " and ".join(f"{one.kind} ({one.harm:.3g} to 1)" for one in doubts)
        return Ruling("hold", f"{so_far}; {named} hints at harm, so a person should decide", findings, True)
    return Ruling(limits.when_unsure, f"{so_far}; patience is set to {limits.patience:g} h", findings, True)


def _waits(evidence: Evidence, limits: CanarySettings, seconds: float) -> list[str]:
    requests = evidence.requests[1]
    told = []
    if requests < limits.min_requests:
        told.append(f"the candidate had {requests:,} of {limits.min_requests:,} requests")
    if seconds < 60 * limits.min_minutes:
        told.append(f"{seconds / 60:.0f} of {limits.min_minutes:g} minutes have passed")
    return told


def _unknown(findings: Sequence[Finding]) -> str:
    named = [one.kind for one in findings if one.state == "unknown"]
    return f"; unknown: {', '.join(named)}" if named else ""
