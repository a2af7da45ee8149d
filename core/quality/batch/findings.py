"""What the checks of a whole batch say, one line each, and what corrections did about it."""

from collections.abc import Sequence
from typing import Literal

from ...settings import Setting

Outcome = Literal["fine", "warn", "unknown"]
Check = Literal[
    "ks", "psi", "distance", "kl", "evenness", "ratio", "coverage", "cosine_within", "cosine", "effective_rows"
]

NAMES: dict[Check, str] = {
    "ks": "KS",
    "psi": "PSI",
    "distance": "energy distance",
    "kl": "KL to the target",
    "evenness": "evenness",
    "ratio": "smallest/largest",
    "coverage": "covered",
    "cosine_within": "cosine in a label",
    "cosine": "cosine overall",
    "effective_rows": "effective sample size",
}
"""For people."""


class Finding(Setting):
    """One check of one thing. What could not be told has no value and is unknown, never fine."""

    check: Check
    of: str
    """What was looked at: a feature, `embeddings`, `labels`, `texts`, or a correction."""
    value: float | None
    threshold: float | None
    """On whose other side it warns; where a `p_value` is given, only if that is small as well."""
    p_value: float | None = None
    outcome: Outcome
    said: str = ""
    """Why it is unknown, or what stands out."""


def unknown(check: Check, of: str, why: str) -> Finding:
    """A finding that says why there is none."""
    return Finding(check=check, of=of, value=None, threshold=None, outcome="unknown", said=why)


class Corrected(Setting):
    """What one correction did."""

    kind: str
    figures: dict[str, float]
    said: str


class BatchReport(Setting):
    """All findings on what a funnel kept, before any correction, and what corrections did then."""

    kept: int
    reference: int
    findings: tuple[Finding, ...]
    corrections: tuple[Corrected, ...] = ()
    notes: tuple[str, ...] = ()
    """Of what the checks looked at only a part."""
    seconds: float

    def of(self, outcome: Outcome) -> list[Finding]:
        """The findings with this outcome."""
        return [finding for finding in self.findings if finding.outcome == outcome]


COLUMNS = ("check", "of", "value", "limit", "p", "outcome", "what stands out")


def rows(findings: Sequence[Finding]) -> list[list[str]]:
    """Findings as cells under COLUMNS; what is not known is a dash."""
    return [
        [
            NAMES[one.check],
            one.of,
            _number(one.value, one.check),
            _number(one.threshold, one.check),
            "–" if one.p_value is None else f"{one.p_value:.2g}",
            one.outcome,
            one.said,
        ]
        for one in findings
    ]


def summary(report: BatchReport) -> str:
    """One sentence about all of it."""
    found = {outcome: len(report.of(outcome)) for outcome in ("warn", "unknown")}
    told = ", ".join(
        [f"{len(report.findings)} checks of {report.kept:,} kept beside {report.reference:,} reference rows"]
        + [f"{found['warn']} warn" if found["warn"] else "none warns"]
        + [f"{found['unknown']} unknown"] * bool(found["unknown"])
    )
    return f"Batch: {told}."


def _number(value: float | None, check: Check) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if check == "coverage" else f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no -0.000
