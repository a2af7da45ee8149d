"""`batch:` in `loop.yaml`: the limits of the checks of a whole batch, and what is done about it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ...settings import Setting
from .distance import DistanceCheck
from .diversity import DiversityChecks
from .mix import Counts, MixChecks, Target, shares_of
from .numbers import NumberChecks
from .sampling import TaskSampling
from .weights import ClassWeights, ImportanceWeights

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Batch(Setting):
    """What is looked at when a funnel is through, beside a reference; nothing is corrected unless it is named."""

    alpha: float = Field(0.01, gt=0, lt=0.5, description="largest p-value of a warning, for those that have one")
    min_rows: int = Field(20, ge=5, description="fewest rows of either set; below, a check is unknown")
    rows: int = Field(1000, ge=100, le=10_000, description="most texts of either set that are embedded, drawn by seed")
    target: dict[str, Weight] | Literal["reference", "even"] | None = Field(
        None,
        description="label or category → weight of its share, `reference` for the mix of the seeds, or `even`; "
        "unset: that of `generate.quotas`, which are even unless they are set, and of a file that of its reference",
    )
    numbers: NumberChecks = Field(NumberChecks(), description="how lengths, scores and other numbers are spread")
    distance: DistanceCheck = Field(DistanceCheck(), description="where the embeddings lie")
    mix: MixChecks = Field(MixChecks(), description="which labels or categories there are")
    diversity: DiversityChecks = Field(DiversityChecks(), description="how much alike texts are")
    sample: TaskSampling | None = Field(None, description="draw some of the kept, nearer to the target; off unless set")
    class_weights: ClassWeights | None = Field(
        None, description="let rows of rare labels or categories count more in training; off unless set"
    )
    importance_weights: ImportanceWeights | None = Field(
        None, description="let rows that might be of the reference count more in training; off unless set"
    )
    effective_share: float = Field(
        0.5, ge=0, le=1, description="smallest effective sample size of weights, as a share of the rows"
    )

    @field_validator("target")
    @classmethod
    def _something_weighs(cls, target: object) -> object:
        if isinstance(target, dict) and not sum(target.values()) > 0:
            raise ValueError("no label or category has a share; give at least one a weight above 0")
        return target

    @property
    def corrects(self) -> bool:
        """Whether anything is done about what is found."""
        return any((self.sample, self.class_weights, self.importance_weights))

    def wanted(self, reference: Counts, planned: Mapping[str, float] | None = None) -> Target:
        """The mix that is wanted: `reference` are its rows by category, `planned` the weights of a loop's quotas."""
        if isinstance(self.target, dict):
            return Target(shares_of(self.target))
        if self.target == "even":
            return Target(shares_of(dict.fromkeys({**(planned or reference)}, 1.0)))
        if self.target is None and planned:
            return Target(shares_of(planned))
        return Target(shares_of(reference), reference)
