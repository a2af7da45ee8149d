"""Doing something about an uneven batch: fewer samples, or weights that training reads."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...samples import Sample
from .findings import Corrected, Finding
from .mix import Target, divergence, shares_of
from .sampling import NOT_SAMPLED
from .settings import Batch
from .sides import Embed, category_of
from .weights import Array, effective_rows, fitted


class Corrections(NamedTuple):
    """Samples to train on, with their weights; those that were not drawn, with a reason; what was done."""

    kept: list[Sample]
    dropped: list[Sample]
    done: tuple[Corrected, ...]
    findings: tuple[Finding, ...]


def correct(
    samples: Sequence[Sample], reference: Sequence[str], settings: Batch, embed: Embed, target: Target, seed: int
) -> Corrections:
    """Draw, then weigh, as `settings` say; without a correction `samples` stay what they are.

    The weight of a sample becomes what it was times what each correction says, whose mean is 1. `reference` are
    texts. Raises ConfigError where there are too few rows to weigh.
    """
    kept, dropped, done = _sampled(samples, settings, target, seed)
    by_class, by_importance = settings.class_weights, settings.importance_weights
    factors: list[Array] = []
    if by_class is not None and kept:
        factors.append(by_class([category_of(sample) for sample in kept]))
        done.append(_weighed("class_weights", kept, factors[-1], target))
    if by_importance is not None and kept:
        factors.append(by_importance(embed([sample.prompt for sample in kept]), embed(reference), seed))
        done.append(_weighed("importance_weights", kept, factors[-1], target))
    if not factors:
        return Corrections(kept, dropped, tuple(done), ())
    # two corrections together may reach further than either may alone, so they are fitted once more
    largest = max(one.largest for one in (by_class, by_importance) if one is not None)
    both = factors[0] if len(factors) == 1 else fitted(factors[0] * factors[1], largest)
    weighed = [
        sample.model_copy(update={"weight": sample.weight * float(factor)})
        for sample, factor in zip(kept, both, strict=True)
    ]
    return Corrections(weighed, dropped, tuple(done), (_effective(both, settings.effective_share),))


def _sampled(
    samples: Sequence[Sample], settings: Batch, target: Target, seed: int
) -> tuple[list[Sample], list[Sample], list[Corrected]]:
    if settings.sample is None:
        return list(samples), [], []
    drawn = settings.sample(samples, target.shares, seed)
    kept = [sample for sample, taken in zip(samples, drawn, strict=True) if taken]
    dropped = [sample.rejected(NOT_SAMPLED) for sample, taken in zip(samples, drawn, strict=True) if not taken]
    figures: dict[str, float] = {"rows_before": len(samples), "rows": len(kept)}
    before, after = (_divergence(part, np.ones(len(part)), target) for part in (samples, kept))
    said = f"{len(kept):,} of {len(samples):,} samples drawn" + _change(before, after)
    if not dropped and len(samples) > settings.sample.size:
        said += f"; {settings.sample.size:,} are too few to come as near to the target"
    return kept, dropped, [Corrected(kind="sample", figures=figures | _divergences(before, after), said=said)]


def _weighed(kind: str, samples: Sequence[Sample], factors: Array, target: Target) -> Corrected:
    rows = effective_rows(factors)
    figures = {"smallest": float(factors.min()), "largest": float(factors.max()), "effective_rows": rows}
    before, after = (_divergence(samples, weights, target) for weights in (np.ones(len(samples)), factors))
    said = f"weights from {factors.min():.2f} to {factors.max():.2f}, worth {rows:.0f} of {len(samples):,} rows"
    return Corrected(kind=kind, figures=figures | _divergences(before, after), said=said + _change(before, after))


def _effective(factors: Array, least: float) -> Finding:
    share = effective_rows(factors) / len(factors)
    return Finding(
        check="effective_rows",
        of="weights",
        value=share,
        threshold=least,
        outcome="warn" if share < least else "fine",
        said=f"{effective_rows(factors):.0f} of {len(factors):,} rows",
    )


def _divergence(samples: Sequence[Sample], weights: Array, target: Target) -> float | None:
    """KL of the weighted mix to the target in nats; None where it is not known or infinite."""
    mass: dict[str, float] = defaultdict(float)
    for sample, weight in zip(samples, weights, strict=True):
        if category := category_of(sample):
            mass[category] += float(weight)
    found = divergence(shares_of(mass), target.shares)
    return found if mass and np.isfinite(found) else None


def _divergences(before: float | None, after: float | None) -> dict[str, float]:
    known = {"kl_before": before, "kl_after": after}
    return {name: value for name, value in known.items() if value is not None}


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"; KL to the target from {before:.3f} to {after:.3f}"
