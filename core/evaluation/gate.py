"""The gate: scores of base, champion and candidate in, a verdict with its evidence out. Pure.

Targets must get better at the share of α that this look at the holdouts may spend, guards must not get worse by their
margin. Every suite has to pass, so none of them needs a correction for the others (intersection–union, Berger 1982).
Where one of several targets is enough, the targets share α by Holm's levels, and a target that did not get better must
pass as a guard. docs/gate.md tells it in plain words.
"""

from collections.abc import Sequence

from ..errors import ConfigError
from . import statistics as st
from .pairs import Pairs, apart, compared, interval_of, least_detectable, pairs_of, wins_and_losses
from .rulings import Ruling, below_floor, doubted, gain_p, judge_damage, judge_gain, nothing_scored
from .scores import SuiteScores, check_margin, check_scores
from .slices import Sliced, judge_slices
from .verdicts import Decision, GateSettings, Outcome, SliceFigures, SuiteFigures, Verdict

__all__ = ["Decision", "GateSettings", "SliceFigures", "SuiteFigures", "decide"]

VERDICTS: dict[Outcome, Verdict] = {"fail": "rejected", "unclear": "inconclusive", "pass": "promoted"}
"""By the worst outcome of any suite, the worst first."""


def decide(suites: Sequence[SuiteScores], settings: GateSettings, look: int, seed: int) -> Decision:
    """Judge a candidate at the `look`-th look (from 1) at these suites.

    The reference is the champion when there is one, else the base. Any suite that fails rejects; else any that is
    unclear leaves it open. Raises ConfigError for suites that cannot be judged together, DataError for scores
    that are no evidence (empty, unpaired, twice the same id, not finite, taken with different suites or scorers).
    """
    if look < 1:
        raise ConfigError(f"looks at the holdouts are counted from 1, not {look}")
    check_scores(suites)
    for suite in suites:
        if settings.target_margin is not None and suite.role == "target":
            check_margin(suite, settings.target_margin)
    alpha = st.spent_alpha(settings.alpha, look)
    rivals = {suite.name: pairs_of(suite, also_base=_is_guarded(suite, settings)) for suite in suites}
    rulings = _targets([suite for suite in suites if suite.role == "target"], rivals, settings, alpha, seed)
    rulings |= {
        suite.name: _kept(suite, rivals[suite.name], suite.margin, settings, seed)
        for suite in suites
        if suite.role == "guard"
    }
    figures: dict[str, SuiteFigures] = {}
    notes: list[str] = []
    for suite in suites:
        sliced = judge_slices(suite, settings, seed)
        ruling = sliced.weigh(rulings[suite.name])
        figures[suite.name] = _figures(suite, rivals[suite.name], ruling, sliced, settings, seed)
        notes += sliced.notes
    outcomes = {one.outcome for one in figures.values()}
    decisive = next(outcome for outcome in VERDICTS if outcome in outcomes)
    reasons = tuple(one.sentence for one in figures.values() if one.outcome == decisive)
    return Decision(
        verdict=VERDICTS[decisive], reasons=reasons, figures=figures, alpha=alpha, look=look, notes=tuple(notes)
    )


def _is_guarded(suite: SuiteScores, settings: GateSettings) -> bool:
    """Whether the base must be matched as well: by guards, and by targets that need not get better."""
    return suite.role == "guard" or settings.targets == "any"


def _targets(
    suites: Sequence[SuiteScores], rivals: dict[str, Pairs], settings: GateSettings, alpha: float, seed: int
) -> dict[str, Ruling]:
    """Rulings on the targets by name.

    With `any` one that got better at Holm's level is enough, and the others must keep what they have. As long as none
    did, those that may have got better leave it open, and where none has even the looks of it, all fail.
    """
    either = settings.targets == "any"
    least = alpha / len(suites) if either else alpha
    p_values = [gain_p(rivals[suite.name], settings, least, seed) for suite in suites]
    levels = st.holm_levels(p_values, alpha) if either else [alpha] * len(suites)
    rulings = {
        suite.name: _better(suite, rivals[suite.name], p_value, level, settings)
        for suite, p_value, level in zip(suites, p_values, levels, strict=True)
    }
    found = {ruling.outcome for ruling in rulings.values()}
    if not either or found == {"fail"}:
        return rulings
    stand = {"pass"} if "pass" in found else {"unclear"}
    return {
        suite.name: ruling
        if (ruling := rulings[suite.name]).outcome in stand
        else _kept_instead(suite, rivals[suite.name], ruling, settings, seed)
        for suite in suites
    }


def _better(suite: SuiteScores, pairs: Pairs, p_value: float, alpha: float, settings: GateSettings) -> Ruling:
    if pairs.n == 0:
        return nothing_scored(alpha, settings)
    return doubted(below_floor(judge_gain(pairs, p_value, alpha, settings), pairs, suite.floor), pairs, settings)


def _kept(suite: SuiteScores, pairs: Pairs, margin: float, settings: GateSettings, seed: int) -> Ruling:
    if pairs.n == 0:
        return nothing_scored(settings.guard_alpha, settings)
    return doubted(below_floor(judge_damage(pairs, margin, settings, seed), pairs, suite.floor), pairs, settings)


def _kept_instead(suite: SuiteScores, pairs: Pairs, gain: Ruling, settings: GateSettings, seed: int) -> Ruling:
    """The ruling on a target that did not get better where another may: it is held to `target_margin`."""
    margin = settings.target_margin or 0.0  # never unset here: `any` asks for it, and it was checked
    kept = _kept(suite, pairs, margin, settings, seed)
    because = "no gain is shown (p = {} against {}), ".format(*apart(gain.p_value, gain.alpha)) + kept.because
    return kept._replace(p_value=gain.p_value, alpha=gain.alpha, because=because)


def _figures(
    suite: SuiteScores, pairs: Pairs, ruling: Ruling, sliced: Sliced, settings: GateSettings, seed: int
) -> SuiteFigures:
    margin = suite.margin if suite.role == "guard" else settings.target_margin
    shared = SuiteFigures(
        role=suite.role,
        digest=suite.digest,
        unscored=pairs.unscored,
        p_value=ruling.p_value,
        alpha=ruling.alpha,
        margin=margin,
        damage_bound=ruling.damage_bound,
        floor=suite.floor,
        needed=ruling.needed,
        slices=sliced.figures,
        outcome=ruling.outcome,
        sentence=f"{suite.name}: none of {pairs.unscored} items was scored on both sides",
    )
    if pairs.n == 0:
        return shared
    interval = interval_of(pairs, settings, seed)
    return shared.model_copy(
        update={
            **pairs.means,
            **wins_and_losses(pairs),
            "n": pairs.n,
            "delta": st.mean(pairs.gains),
            "ci": interval,
            "min_detectable": least_detectable(pairs, ruling.alpha, settings),
            "sentence": f"{suite.name}: {compared(pairs, interval)}, {ruling.because}",
        }
    )
