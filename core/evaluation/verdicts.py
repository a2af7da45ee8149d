"""How sure the gate has to be, and what it answers: a verdict with the figures of every suite and slice."""

from typing import Literal

from pydantic import Field, model_validator

from ..settings import Setting

Outcome = Literal["pass", "fail", "unclear"]
Verdict = Literal["promoted", "rejected", "inconclusive"]


class GateSettings(Setting):
    """How sure the gate has to be."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="chance of a false promotion over the life of a holdout")
    guard_alpha: float = Field(
        0.05, gt=0, lt=0.5, description="chance that a guard misses damage as large as its margin"
    )
    power: float = Field(0.8, ge=0.5, lt=1, description="chance to see a true gain that needed items are counted for")
    min_items: int = Field(20, ge=2, description="scored items of different sources below which a suite says nothing")
    max_unscored: float = Field(0.1, ge=0, lt=1, description="share of unscored items above which a suite says nothing")
    interval_level: float = Field(0.95, gt=0.5, lt=1, description="level of the reported intervals")
    resamples: int = Field(10_000, ge=100, le=1_000_000, description="bootstrap and permutation draws")
    targets: Literal["all", "any"] = Field(
        "all", description="all: every target must get better; any: one must, and none of the others get worse"
    )
    target_margin: float | None = Field(
        None, gt=0, description="with `any`: the damage still tolerated in a target that did not get better"
    )
    slice_limit: float | None = Field(
        None, gt=0, description="the drop of a slice, in score points, that is not tolerated; unset: slices only show"
    )
    slice_test: Literal["shown", "excluded"] = Field(
        "shown", description="shown: a slice rejects when its drop is no chance; excluded: passes when it cannot be"
    )
    slice_min_items: int = Field(
        20, ge=2, description="scored items of different sources below which a slice says nothing"
    )

    @model_validator(mode="after")
    def _any_has_its_margin(self) -> "GateSettings":
        if self.targets == "any" and self.target_margin is None:
            raise ValueError("`targets: any` needs a `target_margin`, the damage tolerated in the other targets")
        if self.targets == "all" and self.target_margin is not None:
            raise ValueError("`target_margin` is for `targets: any`; with `all` every target must get better")
        return self


class PairedFigures(Setting):
    """What the items say that both sides answered: means over these `n`, `delta` and `ci` of candidate minus reference.

    Means, `delta` and `ci` stay None when no item was scored.
    """

    n: int = 0
    unscored: int = 0
    base: float | None = None
    champion: float | None = None
    candidate: float | None = None
    delta: float | None = None
    ci: tuple[float, float] | None = None
    wins: int = 0
    losses: int = 0
    damage_bound: float | None = None


class SliceFigures(PairedFigures):
    """What one slice of a suite says. `outcome` stays None, and `p_value` too, when it was not tested.

    `p_value` is that of "this slice did not get worse" where a drop must be shown, of "it lost `slice_limit` or more"
    where one must be excluded; `alpha` is what it is held to. `min_detectable` is the smallest true drop that these
    items show at the `power` of the gate.
    """

    p_value: float | None = None
    alpha: float | None = None
    min_detectable: float | None = None
    outcome: Outcome | None = None


class SuiteFigures(PairedFigures):
    """What one suite says. `p_value` stays 1 when no item was scored; `alpha` is the level that it is held to.

    `margin` and `damage_bound` belong to guards, and to targets that need not get better; `needed` is set when more
    items could tell.
    """

    role: Literal["target", "guard"]
    digest: str
    p_value: float = 1.0
    alpha: float
    min_detectable: float = 1.0
    margin: float | None = None
    floor: float | None = None
    needed: int | None = None
    slices: dict[str, SliceFigures] = Field({})
    outcome: Outcome
    sentence: str


class Decision(Setting):
    """The verdict, the sentences that decided it, the figures of every suite, and what else people should look at."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: dict[str, SuiteFigures]
    alpha: float
    look: int
    notes: tuple[str, ...] = ()
