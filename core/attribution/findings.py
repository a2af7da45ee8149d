"""What an attribution found: groups of failing items, each with a cause, the evidence for it, and remedies."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..settings import Setting
from .groups import Axis
from .remedies import AskLabel, MoreSamples, Remedy

Cause = Literal[
    "formatting",
    "knowledge_absent",
    "contradicting_samples",
    "ambiguous_label",
    "missing_coverage",
    "forgotten",
    "unknown",
]


class Evidence(Setting):
    """What speaks for one cause."""

    cause: Cause
    strength: float = Field(ge=0, le=1, description="by which causes are chosen between; 1: as clear as can be")
    said: str = Field(description="a sentence with the figures")
    figures: dict[str, float] = Field({}, description="what was measured")
    p_value: float | None = Field(
        None, description="where there is a test: of its null hypothesis, in this group alone"
    )
    samples: tuple[str, ...] = Field((), description="ids of training samples that it is about")


class Found(Setting):
    """A group of failing items. The cause is that of the strongest evidence; `unknown` without any."""

    axis: Axis
    name: str
    members: int = Field(description="items of the suite that have this in common")
    failing: int = Field(description="those of them that failed and are in no other group")
    p_value: float | None = Field(description="of no over-representation, adjusted; None for what is counted")
    items: tuple[str, ...] = Field(description="ids of the failing items")
    cause: Cause
    evidence: tuple[Evidence, ...] = Field(description="the strongest first")
    remedies: tuple[Remedy, ...] = Field(description="none where the cause is unknown")


class SuiteAttribution(Setting):
    """The failing items of one suite; those of no group are `other`."""

    role: Literal["target", "guard"]
    scored: int
    unscored: int
    failing: int
    tried: int = Field(description="parts of the suite that were tested for over-represented failures")
    groups: tuple[Found, ...]
    other: tuple[str, ...] = Field(description="ids of failing items that no group explains")
    notes: tuple[str, ...] = ()


class Attribution(Setting):
    """Why a candidate failed where it failed, by suite."""

    suites: dict[str, SuiteAttribution]

    @property
    def found(self) -> Iterator[tuple[str, Found]]:
        """Suite and group, targets before guards, then the largest first."""
        pairs = [(name, group) for name, suite in self.suites.items() for group in suite.groups]
        yield from sorted(pairs, key=lambda pair: (self.suites[pair[0]].role != "target", -pair[1].failing))

    @property
    def more_samples(self) -> list[MoreSamples]:
        """What is asked of the next round's plan."""
        return [remedy for _, group in self.found for remedy in group.remedies if isinstance(remedy, MoreSamples)]

    @property
    def questions(self) -> list[AskLabel]:
        """What people are asked."""
        return [remedy for _, group in self.found for remedy in group.remedies if isinstance(remedy, AskLabel)]
