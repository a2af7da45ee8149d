"""Error attribution: which items a candidate fails, what they have in common, why, and what could be done. Pure.

Items of a suite are grouped (`groups`), each cause says what speaks for it in a group (`causes`), the strongest counts,
and a remedy is proposed (`proposing`). Texts of a suite are looked at, and never handed on: a remedy holds labels,
controls, counts, ids, and texts that were trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from ..evaluation.suites import Suite
from ..models.encoder import Vectors
from ..quality.batch.sides import Embed
from ..settings import Setting
from .cases import Case, Tables, cases_of
from .causes import (
    AmbiguousLabel,
    ContradictingSamples,
    Forgotten,
    Formatting,
    KnowledgeAbsent,
    MissingCoverage,
)
from .findings import Attribution, Evidence, Found, SuiteAttribution
from .ground import Ground, nearness
from .groups import Covered, Group, find_groups
from .look import Look, axes_of
from .proposing import remedies_of

AnyCause = Annotated[
    Formatting | KnowledgeAbsent | ContradictingSamples | AmbiguousLabel | MissingCoverage | Forgotten,
    Field(discriminator="kind"),
]


class Attributing(Setting):
    """How failing items are grouped, and what is taken for a cause."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="level of the tests, corrected for how many there are")
    least: int = Field(3, ge=1, description="failing items that make a group")
    most: int = Field(12, ge=1, le=100, description="groups of a suite, at most")
    right: float = Field(0.5, gt=0, le=1, description="score in [0, 1] below which an item failed")
    most_embedded: int = Field(2000, ge=0, description="items of a suite that are embedded at most, failing ones first")
    causes: tuple[AnyCause, ...] = Field(
        (
            Formatting(),
            KnowledgeAbsent(),
            ContradictingSamples(),
            AmbiguousLabel(),
            MissingCoverage(),
            Forgotten(),
        ),
        description="what is looked for; of equal strength the earlier counts",
    )

    def __call__(
        self, suites: Mapping[str, Suite], tables: Mapping[str, Tables], ground: Ground, encode: Embed | None
    ) -> Attribution:
        """Attribute the failing items of every suite that has tables; without `encode` nothing is embedded.

        What was trained on is embedded only if an item failed. Raises DataError where a table is not that of its suite.
        """
        held_out = [item.prompt for suite in suites.values() for item in suite.items]
        ground = ground.hiding(held_out)
        read = {name: cases_of(suites[name], by_model, ground.labels, self.right) for name, by_model in tables.items()}
        if encode is not None and ground.learnt and any(case.failed for cases, _ in read.values() for case in cases):
            ground = replace(ground, vectors=_vectors(encode, [one.text for one in ground.learnt]))
        return Attribution(
            suites={name: self._suite(suites[name], *found, ground, encode) for name, found in read.items()}
        )

    def _suite(
        self, suite: Suite, cases: list[Case], unscored: int, ground: Ground, encode: Embed | None
    ) -> SuiteAttribution:
        failing = [at for at, case in enumerate(cases) if case.failed]
        near = None
        embedded = self._embedded(cases) if failing and encode is not None and ground.vectors is not None else []
        if encode is not None and embedded:
            near = nearness(cases, embedded, _vectors(encode, [cases[at].text for at in embedded]), ground)
        covered = find_groups(axes_of(cases, near, ground), failing, alpha=self.alpha, least=self.least, most=self.most)
        look = Look(
            cases=cases,
            ground=ground,
            near=near,
            in_task=suite.settings.prompt == "task",
            level=self.alpha / max(1, len(covered.groups)),
        )
        return SuiteAttribution(
            role=suite.settings.role,
            scored=len(cases),
            unscored=unscored,
            failing=len(failing),
            tried=covered.tried,
            groups=tuple(self._found(group, look) for group in covered.groups),
            other=tuple(cases[at].id for at in sorted(covered.other)),
            notes=_notes(covered, cases, embedded, near is None and bool(failing)),
        )

    def _found(self, group: Group, look: Look) -> Found:
        told = [one for cause in self.causes if (one := cause(group, look)) is not None]
        evidence: list[Evidence] = sorted(told, key=lambda one: -one.strength)  # stable: the earlier of equal ones
        return Found(
            axis=group.axis,
            name=group.name,
            members=len(group.members),
            failing=len(group.failing),
            p_value=group.p_value,
            items=tuple(case.id for case in look.failing(group)),
            cause=evidence[0].cause if evidence else "unknown",
            evidence=tuple(evidence),
            remedies=remedies_of(group, evidence[0], look) if evidence else (),
        )

    def _embedded(self, cases: Sequence[Case]) -> list[int]:
        """The items that are embedded: failing ones first, then an even choice of the others."""
        failing = [at for at, case in enumerate(cases) if case.failed]
        right = [at for at, case in enumerate(cases) if not case.failed]
        # a comparison needs some of both
        chosen = _evenly(failing, max(self.most_embedded - len(right), self.most_embedded * 3 // 4))
        return sorted([*chosen, *_evenly(right, self.most_embedded - len(chosen))])


def _evenly(items: Sequence[int], most: int) -> list[int]:
    if len(items) <= most:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, max(0, most))]


def _vectors(encode: Embed, texts: Sequence[str]) -> Vectors:
    distinct = list(dict.fromkeys(texts))
    rows = encode(distinct)
    place = {text: row for row, text in enumerate(distinct)}
    return rows[[place[text] for text in texts]]


def _notes(covered: Covered, cases: Sequence[Case], embedded: Sequence[int], blind: bool) -> tuple[str, ...]:
    notes = []
    if blind:
        notes.append("nothing was embedded, so that neither clusters nor distances to training samples are known")
    elif 0 < len(embedded) < len(cases):
        notes.append(f"{len(embedded)} of {len(cases)} items were embedded, failing ones first")
    if covered.other and not covered.groups:
        notes.append("the failing items have nothing in common that was looked for")
    return tuple(notes)
