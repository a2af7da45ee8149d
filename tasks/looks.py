"""How often each suite has been looked at, by what MLflow keeps of the rounds, and which are other ones than before."""

from typing import NamedTuple

from ..blocks.tracking import LOOKED_AT, Tracking
from ..core.digests import canonical_json
from ..core.evaluation.holdouts.rotation import rotations
from ..core.evaluation.statistics import spent_alpha
from ..core.loops import Loop


class Looks(NamedTuple):
    """The looks at one suite that were taken, and the α that the next one, and all to come, may spend."""

    taken: int
    next_alpha: float
    left: float


def looking_at(loop: Loop, targets: str, seed: int) -> dict[str, str]:
    """The tags of a round by which looks are counted; `targets` names all targets together."""
    seen = canonical_json({name: suite.digest for name, suite in loop.suites.items()})
    return {"wheelwork.suites": targets, LOOKED_AT: seen, "wheelwork.seed": str(seed)}


def look_of(tracking: Tracking, loop: Loop, targets: str, adapter: str) -> int:
    """The number of this look, from 1: of several targets, the one that was looked at most often counts.

    So a fresh target beside a worn one does not make the worn one fresh.
    """
    own = [suite.digest for suite in loop.suites.values() if suite.settings.role == "target"]
    taken = [tracking.looks_at(digest, except_adapter=adapter) for digest in own]
    return 1 + max(tracking.looks(targets, except_adapter=adapter), *taken)


def looks_at_suites(tracking: Tracking, loop: Loop) -> dict[str, Looks]:
    """The looks at each suite; α of a guard is not spent, and 0 here."""
    found = {}
    for name, suite in loop.suites.items():
        taken, alpha = tracking.looks_at(suite.digest), loop.settings.gate.alpha
        spends = suite.settings.role == "target"
        found[name] = Looks(
            taken, spent_alpha(alpha, taken + 1) if spends else 0.0, alpha / (taken + 1) if spends else 0.0
        )
    return found


def changed_since(tracking: Tracking, loop: Loop) -> list[str]:
    """A sentence for each suite that is another one than in the round before: nothing is compared across the two."""
    before, notes = tracking.looked_at_last(), []
    fresh = {one.after: one for one in rotations(loop.folder)} if before else {}
    for name, suite in loop.suites.items():
        if name in before and before[name] != suite.digest:
            rotated = fresh.get(suite.digest)
            how = f"was rotated on {rotated.at[:10]}" if rotated else "was edited"
            notes.append(
                f"The suite `{name}` {how} ({before[name][:8]} → {suite.digest[:8]}): looks at it are counted anew, "
                "and what earlier rounds scored on it is not compared with this one."
            )
    return notes
