"""Paired statistics of two systems on the same items: tests, bounds, intervals and numbers of items.

`reference` and `candidate` are arrays (n,) of scores of the same items in the same order, finite, higher is
better. A *win* is an item where the candidate is better, a *loss* one where it is worse, the *damage* is the mean
of reference minus candidate. A caller's slip (lengths that differ, no items, an impossible argument) is a
ValueError: users' data is checked by the gate before it comes here. The normal's Φ and z are
`ndtr` and `ndtri` of scipy.special: scipy.stats has them by better names and takes a second to import, for which every
command that reads a loop would wait.
"""

from collections.abc import Sequence
from math import ceil, fsum, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .resampling import cluster_bootstrap_interval as cluster_bootstrap_interval
from .resampling import cluster_bootstrap_means, group_sums, sign_flip_p

Array = NDArray[np.float64]


class Damage(NamedTuple):
    """What a guard says of one rival: the mean damage, its upper bound, and the p-value of "the margin or more"."""

    mean: float
    bound: float
    p_value: float


def superiority_p(
    reference: ArrayLike, candidate: ArrayLike, groups: Sequence[str], seed: int, resamples: int = 10_000
) -> float:
    """p-value of "the candidate is no better": exact McNemar for 0/1 scores, sign flips for others.

    Where several items share a source, which neither allows for, flipping whole sources has to agree: the greater
    p-value counts.
    """
    before, after = _paired(reference, candidate)
    if is_binary(before, after):
        p_value = mcnemar_one_sided(before, after)
    else:
        p_value = paired_permutation_one_sided(before, after, seed, resamples)
    if len(set(groups)) < len(groups):
        sums, _ = group_sums(after - before, groups)
        p_value = max(p_value, sign_flip_p(sums, seed, resamples))
    return p_value


def damage(
    reference: ArrayLike,
    candidate: ArrayLike,
    groups: Sequence[str],
    margin: float,
    alpha: float,
    seed: int,
    resamples: int = 10_000,
) -> Damage:
    """Damage with its one-sided bound at 1 − alpha: Tango's for 0/1 scores, the cluster bootstrap's for others.

    Where several items share a source, the bootstrap over sources has to agree: the greater bound counts.
    """
    before, after = _paired(reference, candidate)
    binary = is_binary(before, after) and margin <= 1
    bound, p_value = -np.inf, 0.0
    if binary:
        bound, p_value = paired_damage_bound(before, after, alpha), non_inferiority_p(before, after, margin)
    if not binary or len(set(groups)) < len(groups):
        means = cluster_bootstrap_means(before - after, groups, seed, resamples)
        bound = max(bound, float(np.quantile(means, 1 - alpha)))
        p_value = max(p_value, (1 + int(np.count_nonzero(means >= margin))) / (1 + resamples))
    return Damage(mean(before - after), bound, p_value)


def mean(scores: ArrayLike) -> float:
    """Mean of at least one score; differences that cancel on paper give exactly 0."""
    values = np.asarray(scores, dtype=np.float64)
    value = fsum(values) / values.size
    return 0.0 if abs(value) < 1e-12 * float(np.abs(values).max()) else value


def is_binary(*columns: ArrayLike) -> bool:
    """Whether every score of every column is 0 or 1."""
    return all(bool(np.isin(column, (0, 1)).all()) for column in columns)


def mcnemar_one_sided(reference: ArrayLike, candidate: ArrayLike) -> float:
    """Exact p-value of "the candidate is no better" for 0/1 scores.

    Given m items that differ, the wins are Binomial(m, 1/2) when nothing changed: p = P(X ≥ wins)
    (McNemar 1947, exact form). 1.0 when no item differs.
    """
    _, losses, wins = _counts(reference, candidate)
    return float(mcnemar_from_counts(wins, losses))


def mcnemar_from_counts(wins: ArrayLike, losses: ArrayLike) -> Array:
    """`mcnemar_one_sided` from the numbers of wins and losses, elementwise over arrays of any one shape."""
    from scipy.stats import binom

    better, worse = np.asarray(wins), np.asarray(losses)
    return np.asarray(binom.sf(better - 1, better + worse, 0.5), dtype=np.float64)


def tango_statistic(losses: ArrayLike, wins: ArrayLike, n: int, damage: ArrayLike) -> Array:
    """Score statistic of "the true damage is Δ" for paired 0/1 data; about N(0, 1) when it is (Tango 1998).

    T(Δ) = (b − c − nΔ) / √(n (2q + Δ(1 − Δ))) with b losses, c wins, and q the restricted maximum-likelihood
    share of wins: q = (√(B² − 4AC) − B) / 2A, A = 2n, B = (2n − b + c)Δ − b − c, C = −cΔ(1 − Δ).
    Negative when less damage was seen than Δ. Elementwise; Δ in [−1, 1].
    """
    b, c, delta = (np.asarray(value, dtype=np.float64) for value in (losses, wins, damage))
    spread = delta * (1 - delta)
    linear = (2 * n - b + c) * delta - b - c
    share = (np.sqrt(np.maximum(linear**2 + 8 * n * c * spread, 0)) - linear) / (4 * n)
    share = np.maximum(share, np.maximum(-delta, 0))  # rounding must not leave the parameter space
    scale = np.sqrt(n * np.maximum(2 * share + spread, 0))
    distance = b - c - n * delta
    # no variance is left only where Δ is what was seen, or where Δ = ±1 cannot be
    degenerate = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
    return np.where(scale > 0, distance / np.where(scale > 0, scale, 1.0), degenerate)


def paired_damage_bound(reference: ArrayLike, candidate: ArrayLike, alpha: float) -> float:
    """Upper confidence bound, one-sided at level 1 − alpha, of the damage in 0/1 scores, in [−1, 1].

    The Δ at which Tango's score statistic falls to −z(1 − alpha); `alpha` in (0, 0.5). Unlike the bound of Wald
    it stays above 0 when no item differs: z²/(n + z²).
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")
    n, losses, wins = _counts(reference, candidate)
    if losses == n:
        return 1.0
    z = -float(ndtri(alpha))
    edge = 1e-10  # at the observed damage itself the statistic may be 0/0
    low, high = (losses - wins) / n + edge, 1 - edge * edge
    return float(brentq(lambda delta: float(tango_statistic(losses, wins, n, delta)) + z, low, high, xtol=1e-12))


def non_inferiority_p(reference: ArrayLike, candidate: ArrayLike, margin: float) -> float:
    """p-value of "the damage is `margin` or more" for 0/1 scores: Φ(T(margin)).

    Below alpha exactly when `paired_damage_bound(…, alpha)` is below `margin`, which lies in [0, 1].
    """
    from scipy.special import ndtr

    if not 0 <= margin <= 1:
        raise ValueError(f"margin must lie between 0 and 1, not {margin}")
    n, losses, wins = _counts(reference, candidate)
    return float(ndtr(tango_statistic(losses, wins, n, margin)))


def paired_permutation_one_sided(
    reference: ArrayLike, candidate: ArrayLike, seed: int, resamples: int = 10_000
) -> float:
    """p-value of "the candidate is no better" for scores of any scale, by flipping the signs of the differences."""
    before, after = _paired(reference, candidate)
    return sign_flip_p(after - before, seed, resamples)


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share, `right` of `n` at least 1 (Wilson 1927)."""
    from scipy.stats import binomtest

    low, high = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def items_needed(discordance: float, delta: float, alpha: float, power: float = 0.8) -> int:
    """Paired items that show a true gain `delta` one-sided at `alpha` with probability `power` (Connor 1987).

    n = (z(1−α) √ψ + z(power) √(ψ − δ²))² / δ², where ψ is the share of items that differ; for scores that are not
    0/1 it is the mean squared difference. ψ below δ² cannot be and is raised to it.
    """
    from scipy.special import ndtri

    if delta <= 0:
        raise ValueError(f"no number of items shows a gain of {delta}")
    psi = max(discordance, delta**2)
    root = -ndtri(alpha) * sqrt(psi) + ndtri(power) * sqrt(psi - delta**2)
    return max(1, ceil(float(root / delta) ** 2))


def minimal_detectable(n: int, discordance: float, alpha: float, power: float = 0.8, graded: bool = False) -> float:
    """The smallest true gain that `n` paired items show one-sided at `alpha` with probability `power`.

    `items_needed` solved for δ: δ = √ψ K, K = (zα √n + zβ √(n + zβ² − zα²)) / (n + zβ²). A gain in 0/1 scores
    cannot exceed the share ψ that differs; when it would have to, ψ grows with it and δ = K². `graded` scores
    know no such limit. At most 1, which is also the answer when `n` is too small for any gain.
    """
    from scipy.special import ndtri

    z_alpha, z_beta = -float(ndtri(alpha)), float(ndtri(power))
    room = n + z_beta**2 - z_alpha**2
    if n < z_alpha**2 or room < 0:
        return 1.0
    k = (z_alpha * sqrt(n) + z_beta * sqrt(room)) / (n + z_beta**2)
    if graded and discordance > 0:
        return k * sqrt(discordance)
    return min(1.0, k * max(k, sqrt(discordance)))


def items_to_clear(n: int, p_value: float, alpha: float, power: float = 0.8) -> int:
    """Items after which a guard would be cleared whose p-value against its margin is `p_value` on `n` items.

    Its score z grows with √n while the shares stay as they are: n ((z(1−α) + z(power)) / z(p))². `p_value` in
    (0, 0.5): at 0.5 the damage is the margin itself, and no number of items helps.
    """
    from scipy.special import ndtri

    if not 0 < p_value < 0.5:
        raise ValueError(f"no number of items clears a guard with the p-value {p_value}")
    return ceil(n * float((ndtri(power) - ndtri(alpha)) / ndtri(p_value)) ** 2)


def spent_alpha(alpha: float, look: int) -> float:
    """The share of `alpha` that the `look`-th look (from 1) at a holdout may use: α / (k (k + 1)).

    The shares of all looks add up to α, so that by the union bound any number of rounds errs with at most α.
    """
    if look < 1:
        raise ValueError(f"looks at a holdout are counted from 1, not {look}")
    return alpha / (look * (look + 1))


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level that each p-value has to meet when any of several may be the one that counts (Holm 1979).

    In order of size the first of m is held to α/m, the next to α/(m − 1) and so on; the first that is above its level
    ends it, and all after it are held to that level, which they are above too. The chance that any hypothesis that
    holds is rejected is at most α, whatever the p-values have to do with each other.
    """
    levels = [alpha] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    level = 0.0
    for place, index in enumerate(order):
        if place == 0 or p_values[order[place - 1]] <= level:
            level = alpha / (len(order) - place)
        levels[index] = level
    return levels


def _paired(reference: ArrayLike, candidate: ArrayLike) -> tuple[Array, Array]:
    before, after = np.asarray(reference, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if before.ndim != 1 or before.shape != after.shape or before.size == 0:
        raise ValueError(f"scores of shape {before.shape} and {after.shape} are not paired")
    return before, after


def _counts(reference: ArrayLike, candidate: ArrayLike) -> tuple[int, int, int]:
    """Numbers of items, of losses and of wins."""
    before, after = _paired(reference, candidate)
    if not is_binary(before, after):
        raise ValueError("this statistic is for scores of 0 and 1")
    return before.size, int(np.count_nonzero(before > after)), int(np.count_nonzero(after > before))
