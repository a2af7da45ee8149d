"""Slices: whether a part of a suite got worse while the whole did not.

Few items tell little. By default a slice rejects when its drop is at least the limit *and* no chance: one-sided tests
of "this slice did not get worse", held to Holm's levels, so that a candidate that harms no slice of a suite is rejected
for one in at most `guard_alpha` of all rounds. A slice that dropped as far and may have done so by chance is a note.
With `slice_test: excluded` it is the other way round, as with guards: every slice must show that it lost less.
"""

from math import ceil
from typing import NamedTuple

from . import statistics as st
from .pairs import Pairs, apart, compared, interval_of, least_detectable, slices_of, wins_and_losses
from .rulings import Ruling
from .scores import SuiteScores
from .verdicts import GateSettings, Outcome, SliceFigures


class Sliced(NamedTuple):
    """The figures of a suite's slices, the worst outcome with its reason, and what else is worth a look."""

    figures: dict[str, SliceFigures]
    outcome: Outcome = "pass"
    because: str = ""
    notes: tuple[str, ...] = ()

    def weigh(self, ruling: Ruling) -> Ruling:
        """`ruling` on the whole suite, in the light of its slices: they can take a pass away, never give one."""
        if self.outcome == "fail":
            because = f"{ruling.because}; {self.because}" if ruling.outcome == "fail" else f"but {self.because}"
            return ruling._replace(outcome="fail", because=because, needed=None)
        if self.outcome == "unclear" and ruling.outcome == "pass":
            return ruling._replace(outcome="unclear", because=f"but {self.because}")
        return ruling


class _Found(NamedTuple):
    outcome: Outcome
    p_value: float
    alpha: float
    said: str
    bound: float | None = None


def judge_slices(suite: SuiteScores, settings: GateSettings, seed: int) -> Sliced:
    """The figures of every slice, and where `slice_limit` is set, what they say of the suite."""
    pairs = slices_of(suite)
    limit = settings.slice_limit
    enough = {name: one for name, one in pairs.items() if one.sources >= settings.slice_min_items}
    if limit is None:
        found: dict[str, _Found] = {}
    elif settings.slice_test == "shown":
        found = _shown(enough, limit, settings, seed)
    else:
        found = {name: _excluded(one, limit, settings, seed) for name, one in enough.items()}
    figures = {name: _figures(one, found.get(name), settings, seed) for name, one in pairs.items()}
    if limit is None or not pairs:
        return Sliced(figures)
    told = {name: f"slice `{name}`: {compared(pairs[name])}, {one.said}" for name, one in found.items()}
    failed = [told[name] for name, one in found.items() if one.outcome == "fail"]
    unclear = [told[name] for name, one in found.items() if one.outcome == "unclear"]
    untested = _untested([name for name in pairs if name not in found], settings)
    if failed:
        return Sliced(figures, "fail", "; ".join(failed))
    if settings.slice_test == "excluded" and (unclear or untested):
        return Sliced(figures, "unclear", "; ".join([*unclear, *untested]))
    return Sliced(figures, notes=tuple(f"{suite.name}: {line}" for line in (*unclear, *untested)))


def _shown(pairs: dict[str, Pairs], limit: float, settings: GateSettings, seed: int) -> dict[str, _Found]:
    """Slices whose drop is at least `limit` and no chance fail; those whose drop may be one are unclear."""
    if not pairs:
        return {}
    draws = max(settings.resamples, ceil(4 * len(pairs) / settings.guard_alpha))
    p_values = [
        st.superiority_p(one.candidate, one.reference, one.groups, seed, draws)  # that the reference is better
        for one in pairs.values()
    ]
    levels = st.holm_levels(p_values, settings.guard_alpha)
    found = {}
    for (name, one), p_value, level in zip(pairs.items(), p_values, levels, strict=True):
        p_text, level_text = apart(p_value, level)
        if st.mean(-one.gains) < limit:
            found[name] = _Found("pass", p_value, level, f"a drop below {limit:g}")
        elif p_value <= level:
            found[name] = _Found("fail", p_value, level, f"a drop of {limit:g} or more, p = {p_text} ≤ {level_text}")
        else:
            found[name] = _Found("unclear", p_value, level, f"which may be chance: p = {p_text} > {level_text}")
    return found


def _excluded(pairs: Pairs, limit: float, settings: GateSettings, seed: int) -> _Found:
    """A slice passes when the upper bound of its damage is below `limit`."""
    alpha = settings.guard_alpha
    damage = st.damage(pairs.reference, pairs.candidate, pairs.groups, limit, alpha, seed, settings.resamples)
    if damage.mean >= limit:
        said = "damage is {} ≥ {}".format(*apart(damage.mean, limit))
        return _Found("fail", damage.p_value, alpha, said, damage.bound)
    shown, text = apart(damage.bound, limit)
    if damage.bound < limit:
        return _Found("pass", damage.p_value, alpha, f"damage at most {shown} < {text}", damage.bound)
    return _Found("unclear", damage.p_value, alpha, f"damage may reach {shown} ≥ {text}", damage.bound)


def _untested(names: list[str], settings: GateSettings) -> list[str]:
    if not names:
        return []
    some = ", ".join(f"`{name}`" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [f"too few items to test the slices {some}: at least {settings.slice_min_items} are needed in each"]


def _figures(pairs: Pairs, found: _Found | None, settings: GateSettings, seed: int) -> SliceFigures:
    if pairs.n == 0:
        return SliceFigures(unscored=pairs.unscored)
    tested = {}
    if found is not None:
        tested = {"p_value": found.p_value, "alpha": found.alpha, "damage_bound": found.bound, "outcome": found.outcome}
    return SliceFigures(
        **tested,
        **pairs.means,
        **wins_and_losses(pairs),
        n=pairs.n,
        unscored=pairs.unscored,
        delta=st.mean(pairs.gains),
        ci=interval_of(pairs, settings, seed) if pairs.sources > 1 else None,
        min_detectable=least_detectable(pairs, found.alpha if found else settings.guard_alpha, settings),
    )
