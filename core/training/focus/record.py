"""What came of `train.focus` and `train.order`, for the report; reading it needs no torch."""

from collections.abc import Iterator

from ...settings import Setting


class Emphasised(Setting):
    """What one entry of `train.focus` did to the samples that reached it."""

    kind: str
    rows: int
    chosen: int  # the others are left out
    smallest: float  # factor on the weight of a chosen sample
    largest: float
    effective_rows: float  # of the chosen, (Σw)² / Σw² of these factors
    unknown: int  # rows of which what it goes by is not known
    loss_correlation: float | None  # Spearman's ρ of factor and loss; None where either is not known or all the same


class Ordered(Setting):
    """What the samples are ordered by."""

    kind: str
    difficulty: str
    rows: int
    unknown: int  # rows without it, which lie in the middle
    length_correlation: float | None  # Spearman's ρ of difficulty and tokens
    loss_correlation: float | None


class FocusRecord(Setting):
    """How the samples of one training were weighted, chosen and ordered."""

    measured_by: str  # `base` or `champion`; empty where no model was asked
    seconds: float
    emphases: tuple[Emphasised, ...]
    order: Ordered | None

    @property
    def sentences(self) -> list[str]:
        """All of it for people, a sentence an entry."""
        return [*map(self._emphasis, self.emphases), *self._ordering()]

    @property
    def metrics(self) -> dict[str, float]:
        """Its figures by name, without those that are unknown."""
        found: dict[str, float | None] = {"seconds": self.seconds}
        for one in self.emphases:
            told = one.model_dump(exclude={"kind"})
            found |= {f"{one.kind}.{name}": value for name, value in told.items()}
        if self.order is not None:
            told = self.order.model_dump(exclude={"kind", "difficulty"})
            found |= {f"order.{name}": value for name, value in told.items()}
        return {name: float(value) for name, value in found.items() if value is not None}

    def _emphasis(self, one: Emphasised) -> str:
        said = f"Focus `{one.kind}`: {one.chosen:,} of {one.rows:,} samples chosen"
        if one.largest > one.smallest:
            said += f", weights from {one.smallest:.2f} to {one.largest:.2f}, worth {one.effective_rows:.0f} of them"
        if one.loss_correlation is not None:
            said += f"; ρ = {one.loss_correlation:+.2f} to the loss of the {self.measured_by}"
        return said + (f"; {one.unknown:,} could not be told." if one.unknown else ".")

    def _ordering(self) -> Iterator[str]:
        if (one := self.order) is None:
            return
        by = f"the {one.difficulty} under the {self.measured_by}" if one.difficulty == "loss" else one.difficulty
        said = f"Order `{one.kind}`, by {by}"
        if one.length_correlation is not None and one.difficulty != "length":
            said += f"; ρ = {one.length_correlation:+.2f} to the length"
        if one.unknown == one.rows:
            said += f"; no sample has a {one.difficulty}, so that any order is as good"
        elif one.unknown:
            said += f"; {one.unknown:,} of {one.rows:,} samples have none and stand in the middle"
        yield said + "."
