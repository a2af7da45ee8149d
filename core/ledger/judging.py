"""What the ledger says of a candidate, and the verdict with it. Pure.

An item stands when a champion got it right since it came in. It is undone when the candidate gets it wrong. Champions
of all times count, not only the present one: else each round might undo its margin of what is left.

The items are no sample. People chose them, or a round, for being right after it; so a candidate as good as the champion
is expected to undo some of what a round fixed, and no test on a sample gives the chance of it. `count` therefore holds
the share itself to the margin, and claims nothing beyond the items. `bound` holds the upper bound of that share to it,
as of any guard, and claims it of questions like them. docs/ledger.md has the figures.
"""

from collections.abc import Mapping, Sequence
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..evaluation import statistics as st
from ..evaluation.verdicts import Decision, GateSettings, Outcome, SuiteFigures, Verdict
from ..settings import Setting
from .entries import Held
from .settings import LedgerSettings
from .suites import NAME

BASE, CHAMPION, CANDIDATE = "base", "champion", "candidate"
NAMED = 8  # undone items that a sentence names; the report names all
LONGEST = 60  # characters of a question in a sentence
WORST: tuple[Outcome, ...] = ("pass", "unclear", "fail")

Places = NDArray[np.int64]

Scores = Mapping[str, Mapping[str, float | None]]
"""Model → item → score."""


class Undone(Setting):
    """An item that a champion got right and the candidate does not."""

    id: str
    question: str
    right: str = Field(description="what a right reply is or holds")
    reply: str = Field("", description="what the candidate said")
    origin: str = Field(description="review, round or feedback")
    round: str = Field("", description="the round that it was corrected in, where one is concerned")
    by_champion: bool = Field(False, description="the champion gets it wrong as well")


class LedgerRuling(NamedTuple):
    """The figures of the ledger as a guard, and every undone item."""

    figures: SuiteFigures
    undone: tuple[Undone, ...]

    @property
    def speaks(self) -> bool:
        """Whether its sentence belongs among the reasons of any verdict."""
        return bool(self.undone) or self.figures.outcome != "pass"


class _Part(NamedTuple):
    """The items of one kind of origin: how many stand, how many of them are undone, and what follows."""

    called: str
    standing: int
    undone: int
    margin: float
    bound: float | None
    outcome: Outcome

    @property
    def words(self) -> str:
        right = self.standing - self.undone
        told = f"{right} of {self.standing} {self.called} are right still"
        if self.outcome == "pass":
            return told
        allowed = f"at most {floor(self.margin * self.standing)} may be wrong"
        if self.bound is not None and self.undone <= self.margin * self.standing:
            allowed = f"of questions like them up to {self.bound:.2g} may be wrong, {self.margin:g} is tolerated"
        return f"{told}, {allowed}"


def judge_ledger(
    held: Sequence[Held], digest: str, scores: Scores, settings: LedgerSettings, gate: GateSettings, seed: int
) -> LedgerRuling | None:
    """The ruling on the active items of `held`; None where there are none.

    `scores` are those of base, of the champion where there is one, and of the candidate. What of the candidate is
    unscored is neither right nor undone.
    """
    items = [one for one in held if one.active]
    if not items:
        return None
    right = {model: _right(items, values, settings.right_from) for model, values in scores.items()}
    reference, candidate = right.get(CHAMPION, right[BASE]), right[CANDIDATE]
    stands = np.array([one.once_right for one in items]) | (reference == 1)
    scored = ~np.isnan(candidate)
    wrong = stands & (candidate == 0)
    parts = [
        _part(items, kind, stands & scored, wrong, wrong & (reference == 0), settings, gate, seed)
        for kind in (False, True)
        if any(one.entry.held_out == kind for one in items)
    ]
    outcome = max((part.outcome for part in parts), key=WORST.index)
    unscored = int(np.count_nonzero(~scored))
    if unscored > gate.max_unscored * len(items) and outcome == "pass":
        outcome = "unclear"
    undone = tuple(_undone(items[at], bool(reference[at] == 0)) for at in np.flatnonzero(wrong))
    decisive = max(parts, key=lambda part: (WORST.index(part.outcome), part.undone))
    gains = np.where(scored & ~np.isnan(reference), candidate - reference, 0.0)
    figures = SuiteFigures(
        role="guard",
        digest=digest,
        n=int(np.count_nonzero(scored)),
        unscored=unscored,
        base=_mean(right[BASE]),
        champion=_mean(right[CHAMPION]) if CHAMPION in right else None,
        candidate=_mean(candidate),
        delta=float(gains[scored].mean()) if scored.any() else None,
        alpha=gate.guard_alpha,
        wins=int(np.count_nonzero(gains > 0)),
        losses=len(undone),
        margin=decisive.margin,
        damage_bound=decisive.bound,
        outcome=outcome,
        sentence=_sentence(parts, undone, unscored, outcome),
    )
    return LedgerRuling(figures, undone)


def with_ledger(decision: Decision, ruling: LedgerRuling | None) -> Decision:
    """The verdict when the ledger has its say: it can only take a promotion back.

    Its sentence stands among the reasons when it decided, and whenever an item is undone.
    """
    if ruling is None:
        return decision
    outcome = ruling.figures.outcome
    verdict: Verdict = decision.verdict
    reasons = decision.reasons
    if outcome == "fail" and verdict != "rejected":
        verdict, reasons = "rejected", ()
    elif outcome == "unclear" and verdict == "promoted":
        verdict, reasons = "inconclusive", ()
    if ruling.speaks:
        reasons = (*reasons, ruling.figures.sentence)
    figures = {**decision.figures, NAME: ruling.figures}
    return decision.model_copy(update={"verdict": verdict, "reasons": reasons, "figures": figures})


def _part(
    items: Sequence[Held],
    held_out: bool,
    standing: st.Array,
    wrong: st.Array,
    before: st.Array,
    settings: LedgerSettings,
    gate: GateSettings,
    seed: int,
) -> _Part:
    """One kind of items; `before` are those that the champion has undone already: no more than these always passes."""
    own = np.array([one.entry.held_out == held_out for one in items])
    places: Places = np.flatnonzero(own & standing).astype(np.int64)
    n, undone, already = places.size, int(wrong[own].sum()), int(before[own].sum())
    margin = settings.margin_of(held_out)
    outcome: Outcome = "fail" if undone > max(floor(margin * n + 1e-9), already) else "pass"
    bound = _bound(items, places, wrong, margin, gate, seed) if n else None
    if settings.judge == "bound" and outcome == "pass" and undone > already and bound is not None:
        enough = max(settings.min_items, fewest_to_clear(margin, gate.guard_alpha))
        outcome = "unclear" if n >= enough and bound >= margin else "pass"
    called = "items that rounds fixed" if held_out else "corrections of people"
    return _Part(called, int(n), undone, margin, bound, outcome)


def fewest_to_clear(margin: float, alpha: float) -> float:
    """How many items, none of them undone, bring the upper bound of the damage below `margin`; infinite for 0.

    Tango's bound without a loss is z²/(n + z²), so n > z² (1 − margin)/margin.
    """
    from scipy.special import ndtri

    return float("inf") if margin == 0 else floor(float(ndtri(alpha)) ** 2 * (1 - margin) / margin) + 1


def _bound(
    items: Sequence[Held], places: Places, wrong: st.Array, margin: float, gate: GateSettings, seed: int
) -> float:
    """The upper bound of the share of standing items that the candidate gets wrong, as of a guard."""
    groups = [items[at].entry.item.cluster for at in places]
    candidate = np.where(wrong[places], 0.0, 1.0)
    return st.damage(np.ones(len(places)), candidate, groups, margin, gate.guard_alpha, seed, gate.resamples).bound


def _right(items: Sequence[Held], values: Mapping[str, float | None], right_from: float) -> st.Array:
    """1 for right, 0 for wrong, NaN for unscored (items,)."""
    scores = [values.get(one.entry.id) for one in items]
    return np.array([np.nan if score is None else float(score >= right_from) for score in scores])


def _undone(one: Held, by_champion: bool) -> Undone:
    entry = one.entry
    return Undone(
        id=entry.id,
        question=entry.item.prompt,
        right=entry.expected,
        origin=entry.origin.kind,
        round=entry.origin.round,
        by_champion=by_champion,
    )


def _mean(right: st.Array) -> float | None:
    known = right[~np.isnan(right)]
    return st.mean(known) if known.size else None


def _sentence(parts: Sequence[_Part], undone: Sequence[Undone], unscored: int, outcome: Outcome) -> str:
    told = [part.words for part in parts if part.standing]
    said = f"{NAME}: " + ("; ".join(told) or "no item was right under a champion yet, so there is nothing to undo")
    if unscored and outcome == "unclear":
        said += f"; {unscored} items are unscored: find out why, then benchmark again"
    if undone:
        named = ", ".join(f"{one.id} “{_short(one.question)}”" for one in undone[:NAMED])
        more = f" and {len(undone) - NAMED} more, all in the report" if len(undone) > NAMED else ""
        said += f"; undone: {named}{more}"
    return said


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
