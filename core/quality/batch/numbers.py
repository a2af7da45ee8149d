"""Whether a number is spread among the kept as it is in the reference: Kolmogorov–Smirnov and population stability."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ...settings import Setting
from .findings import Finding, unknown
from .sides import Side

Array = NDArray[np.float64]

ROWS_PER_BIN = 5
"""Fewest rows of either set that a bin is to expect, so that χ² is near enough."""

EXACT = 1000
"""Most values of a set for which the p-value of KS is exact; beyond, its limit is as good and much faster."""


class Psi(NamedTuple):
    """The index, what chance alone makes of it on average, and the p-value of "nothing changed"."""

    value: float
    chance: float
    p_value: float


def population_stability(reference: ArrayLike, kept: ArrayLike, bins: int = 10) -> Psi | None:
    """Population stability index over quantile bins of both sets together: Σ (p − q) ln(p / q).

    `reference` (n,) and `kept` (m,), finite, any unit. Where nothing changed it is about (1/n + 1/m) · χ²(B − 1) with
    B bins (Yurdakul & Naranjo 2020); the folklore of 0.1 and 0.25 has no error rate. Half a row is added to each bin,
    so that an empty one does not make it infinite. Values that come often share a bin, so there may be fewer than
    `bins`; None where that leaves a single one, or a set is so small that a bin would expect fewer than five rows.
    """
    from scipy.stats import chi2

    one, other = np.asarray(reference, dtype=np.float64), np.asarray(kept, dtype=np.float64)
    most = min(bins, min(len(one), len(other)) // ROWS_PER_BIN)
    if most < 2:
        return None
    both = np.concatenate([one, other])
    # of both together: edges from one set alone would lie evenly in that set, and less so in any other
    edges = np.unique(np.quantile(both, np.arange(1, most) / most, method="lower"))
    edges = edges[edges < both.max()]
    if not len(edges):
        return None
    counts = [np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (one, other)]
    p, q = ((count + 0.5) / (count.sum() + 0.5 * len(count)) for count in counts)
    value = float(((p - q) * np.log(p / q)).sum())
    scale, freedom = 1 / len(one) + 1 / len(other), len(edges)
    return Psi(value, scale * freedom, float(chi2.sf(value / scale, freedom)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that hold for all of them together, however they depend on each other (Holm 1979)."""
    adjusted, floor = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = floor
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values that bound the share of false alarms among the alarms (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(p_values)] if p_values else []


ADJUST: dict[str, Callable[[Sequence[float]], list[float]]] = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}


class NumberChecks(Setting):
    """KS and PSI of every number that both sets have: lengths, scores, numeric controls."""

    ks: float = Field(0.25, gt=0, le=1, description="largest distance of the two distribution functions")
    psi: float = Field(0.25, gt=0, description="largest population stability index, above what chance alone makes")
    bins: int = Field(10, ge=2, le=100, description="most bins of the population stability index")
    correction: Literal["holm", "benjamini_hochberg"] = Field(
        "holm", description="how p-values allow for there being several features"
    )

    def __call__(self, kept: Side, reference: Side, alpha: float, min_rows: int) -> list[Finding]:
        """Two findings a feature; one of which nothing varies on either side is left out."""
        ours, theirs = kept.numbers, reference.numbers
        enough: dict[str, tuple[Array, Array]] = {}
        findings: list[Finding] = []
        for name in dict.fromkeys([*theirs, *ours]):
            one, other = theirs.get(name, np.empty(0)), ours.get(name, np.empty(0))
            if len(one) and len(other) and np.ptp(np.concatenate([one, other])) == 0:
                continue
            if why := _too_few(len(one), len(other), min_rows):
                findings += [unknown("ks", name, why), unknown("psi", name, why)]
            else:
                enough[name] = (one, other)
        return [*self._ks(enough, alpha), *self._psi(enough, alpha), *findings]

    def _ks(self, features: Mapping[str, tuple[Array, Array]], alpha: float) -> list[Finding]:
        from scipy.stats import ks_2samp

        tests = [
            ks_2samp(*sides, method="exact" if max(map(len, sides)) <= EXACT else "asymp")
            for sides in features.values()
        ]
        adjusted = ADJUST[self.correction]([float(test.pvalue) for test in tests])
        return [
            Finding(
                check="ks",
                of=name,
                value=float(test.statistic),
                threshold=self.ks,
                p_value=p_value,
                outcome="warn" if p_value < alpha and test.statistic > self.ks else "fine",
                said=_medians(*features[name]),
            )
            for name, test, p_value in zip(features, tests, adjusted, strict=True)
        ]

    def _psi(self, features: Mapping[str, tuple[Array, Array]], alpha: float) -> list[Finding]:
        found = {name: population_stability(*sides, self.bins) for name, sides in features.items()}
        told = {name: psi for name, psi in found.items() if psi is not None}
        adjusted = ADJUST[self.correction]([psi.p_value for psi in told.values()])
        findings = [
            Finding(
                check="psi",
                of=name,
                value=psi.value,
                threshold=psi.chance + self.psi,
                p_value=p_value,
                outcome="warn" if p_value < alpha and psi.value > psi.chance + self.psi else "fine",
                said=_medians(*features[name]),
            )
            for (name, psi), p_value in zip(told.items(), adjusted, strict=True)
        ]
        few = "too few values, or nearly all the same, to make two bins"
        return findings + [unknown("psi", name, few) for name, psi in found.items() if psi is None]


def _too_few(reference: int, kept: int, min_rows: int) -> str:
    if not reference or not kept:
        return f"only {'the kept' if kept else 'the reference'} has it"
    if min(reference, kept) < min_rows:
        return f"{kept:,} kept and {reference:,} reference values; {min_rows} of each are needed"
    return ""


def _medians(reference: Array, kept: Array) -> str:
    return f"median {np.median(kept):.3g}, reference {np.median(reference):.3g}"
